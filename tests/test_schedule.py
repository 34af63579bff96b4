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
from pyro_dcign.varying import known_type

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


def test_types_of_a_named_ratio_come_as_often_as_it_says():
    """Chi-square over the types: one false alarm in 10⁶ runs of other seeds."""
    ratio = parse_ratio("azimuth=1,elevation=1,light=2,pose=5", CODE)
    drawn = Schedule({**FACES, "pose": 7}, ratio, seed=5).draw(90_000)
    observed = [sum(varying == name for varying, _ in drawn) for name in ratio]
    assert list(ratio) == ["azimuth", "elevation", "light", "pose"]
    assert chisquare(observed, [10_000, 10_000, 20_000, 50_000]).pvalue > 1e-6
    assert {index for varying, index in drawn if varying == "pose"} == set(range(7))


def test_a_ratio_of_types_that_are_not_there_says_how_to_make_them():
    with pytest.raises(InputError, match=r"--types elevation\+light=250") as caught:
        Schedule(FACES, parse_ratio("light+elevation=1", CODE))
    assert "azimuth, elevation, light, intrinsic" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_short_ratio_draws_no_pose_and_the_same_minibatches_as_without_any():
    short = parse_ratio("1:10", CODE)
    assert Schedule({**FACES, "pose": 9}, short, 3).draw(99) == Schedule(FACES, short, 3).draw(99)


def test_each_stands_for_the_extrinsic_factors_that_are_not_named():
    assert parse_ratio("pose=5,each=1,light=3,intrinsic=2", CODE) == {
        "azimuth": 1, "elevation": 1, "light": 3, "pose": 5, "intrinsic": 2,
    }  # fmt: skip
    # of one extrinsic factor, the whole pose is this factor
    chairs = GraphicsCode({"azimuth": 1}, intrinsic=5)
    assert parse_ratio("each=1,pose=5", chairs) == {"azimuth": 6.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("posture=1", "azimuth, elevation, light, pose, intrinsic"),
        ("pose=x", "numbers of 0 or more"),
        ("pose=-1", "numbers of 0 or more"),
        ("pose=nan,light=1", "numbers of 0 or more"),
        ("pose=1,pose=2", "each type once"),
        ("pose=0,light=0", "positive share"),
        ("pose=1,,light=1", "numbers of 0 or more"),
    ],
)
def test_a_malformed_named_ratio_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_ratio(text, CODE)


@given(st.text(st.sampled_from("123:,=+.poselight "), max_size=16))
def test_any_text_of_its_letters_is_a_ratio_or_refused(text):
    try:
        ratio = parse_ratio(text, CODE)
    except InputError:
        return
    assert sum(ratio.values()) > 0
    assert all(known_type(name, CODE.extrinsic) == name for name in ratio)


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
