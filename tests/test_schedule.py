"""The order of training: its ratio, its determinism, its resumption, its text form."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from pyro_dcign.code import GraphicsCode
from pyro_dcign.errors import InputError
from pyro_dcign.training.schedule import Schedule, paper_ratio, parse_ratio

FACES = {"azimuth": 30, "elevation": 20, "light": 10, "intrinsic": 40}
CODE = GraphicsCode({"azimuth": 1, "elevation": 1, "light": 1}, intrinsic=5)


@pytest.mark.parametrize(
    "ratio", [None, {"azimuth": 2.0, "elevation": 0, "light": 1, "intrinsic": 1}]
)
def test_types_come_in_ratio_and_minibatches_uniformly(ratio):
    """Chi-square over all (type, index) cells: one false alarm in 10⁶ runs of other seeds."""
    n = 200_000
    schedule = Schedule(FACES, ratio, seed=5)
    drawn = schedule.draw(n)
    shares = schedule.ratio
    total = sum(shares.values())
    cells = [(v, i) for v in FACES for i in range(FACES[v]) if shares[v]]
    expected = np.array([n * shares[v] / total / FACES[v] for v, _ in cells])
    where = {cell: k for k, cell in enumerate(cells)}
    observed = np.bincount([where[cell] for cell in drawn], minlength=len(cells))
    assert chisquare(observed, expected).pvalue > 1e-6


def test_the_paper_ratio_is_one_each_and_ten_for_any_number_of_factors():
    assert paper_ratio(("azimuth", "intrinsic")) == {"azimuth": 1, "intrinsic": 10}
    assert Schedule(FACES).ratio == {"azimuth": 1, "elevation": 1, "light": 1, "intrinsic": 10}


@settings(max_examples=30)
@given(seed=st.integers(0, 2**63), sizes=st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_draws_in_pieces_are_the_draws_at_once(seed, sizes):
    whole, pieces = Schedule(FACES, seed=seed), Schedule(FACES, seed=seed)
    assert [pair for n in sizes for pair in pieces.draw(n)] == whole.draw(sum(sizes))
    assert [pieces.next()] == whole.draw(1)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**63), before=st.integers(0, 20))
def test_a_resumed_schedule_goes_on_exactly(seed, before):
    schedule = Schedule(FACES, seed=seed)
    schedule.draw(before)
    state = json.loads(json.dumps(schedule.state_dict()))
    other = Schedule(FACES, seed=0)
    other.load_state_dict(state)
    assert other.draw(20) == schedule.draw(20)


def test_a_state_of_other_data_is_refused():
    state = Schedule(FACES).state_dict()
    with pytest.raises(InputError, match="the counts"):
        Schedule({**FACES, "light": 11}).load_state_dict(state)
    with pytest.raises(InputError, match="the ratio"):
        Schedule(FACES, {"light": 1.0}).load_state_dict(state)
    with pytest.raises(InputError, match="PCG64"):
        Schedule(FACES).load_state_dict({**state, "generator": {"bit_generator": "MT19937"}})


@pytest.mark.parametrize(
    ("ratio", "message"),
    [
        ({"pose": 1.0}, "data make faces OUT --types pose=250"),
        ({"light": -1.0}, "0 or more"),
        ({"light": float("nan")}, "0 or more"),
        ({"light": 0.0}, "positive share"),
        ({"empty": 1.0}, "found none in the data"),
    ],
)
def test_an_impossible_ratio_is_refused(ratio, message):
    with pytest.raises(InputError, match=message):
        Schedule({**FACES, "empty": 0}, ratio)


@pytest.mark.parametrize(
    ("text", "shares"),
    [("1:1:1:10", [1, 1, 1, 10]), ("1:3", [1, 1, 1, 3]), ("0:.5:1:2", [0, 0.5, 1, 2])],
)
def test_a_ratio_is_read_from_text(text, shares):
    assert parse_ratio(text, CODE) == dict(zip(CODE.factors, shares, strict=True))


@given(st.text(max_size=12))
def test_any_text_is_a_ratio_or_refused(text):
    try:
        ratio = parse_ratio(text, CODE)
    except InputError:
        return
    assert set(ratio) == set(CODE.factors)
    assert sum(ratio.values()) > 0


@pytest.mark.parametrize(
    "text", ["", "1", "1:1:1", "a:b", "1:-1", "0:0", "nan:1", "inf:1", "1:1:1:1:1"]
)
def test_a_malformed_ratio_is_refused(text):
    with pytest.raises(InputError, match="expected a ratio such as 1:1:1:10"):
        parse_ratio(text, CODE)
