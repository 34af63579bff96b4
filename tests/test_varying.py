"""Types are sets of factors: each set has one name, and a mask says which factors it holds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyro_dcign.code import GraphicsCode
from pyro_dcign.errors import InputError
from pyro_dcign.varying import (
    in_order,
    known_type,
    numbers_by_type,
    standard_types,
    type_factors,
    type_name,
    type_number,
)

NAMES = st.lists(st.sampled_from(["azimuth", "light", "size", "roll"]), unique=True)


@given(NAMES, st.data())
def test_every_set_of_factors_has_one_name(extrinsic, data) -> None:
    factors = (*extrinsic, "intrinsic")
    chosen = data.draw(st.sets(st.sampled_from(factors), min_size=1))
    name = type_name(chosen, extrinsic)
    assert type_factors(name, extrinsic) == chosen
    shuffled = "+".join(data.draw(st.permutations(sorted(chosen))))
    assert known_type(shuffled, extrinsic) == name


@given(NAMES, st.data())
def test_a_mask_is_true_for_the_set_and_names_it(extrinsic, data) -> None:
    code = GraphicsCode(dict.fromkeys(extrinsic, 2), intrinsic=3)
    chosen = data.draw(st.sets(st.sampled_from(code.factors), min_size=1))
    mask = code.active("+".join(chosen))
    assert mask.dtype == torch.bool
    assert [name for name, varies in zip(code.factors, mask, strict=True) if varies] == [
        name for name in code.factors if name in chosen
    ]
    assert code.varying(mask) == type_name(chosen, extrinsic)
    latents = code.split(code.active_latents(mask)[0].float())
    assert all(part.all() if n in chosen else not part.any() for n, part in latents.items())


def test_pose_is_all_but_the_identity() -> None:
    assert type_factors("pose", ("azimuth", "light")) == {"azimuth", "light"}
    assert standard_types(("azimuth", "light")) == ("azimuth", "light", "pose", "intrinsic")


def test_of_one_extrinsic_factor_the_pose_is_that_factor() -> None:
    assert standard_types(("azimuth",)) == ("azimuth", "intrinsic")
    assert known_type("pose", ("azimuth",)) == "azimuth"
    assert standard_types(()) == ("intrinsic",)


def test_a_factor_called_pose_keeps_its_name() -> None:
    factors = ("pose", "light")
    assert type_factors("pose", factors) == {"pose"}
    assert standard_types(factors) == ("pose", "light", "pose+light", "intrinsic")
    assert known_type("light+pose", factors) == "pose+light"


def test_factors_alone_have_the_numbers_that_they_had_and_no_two_sets_have_one() -> None:
    factors = ("azimuth", "elevation", "light")
    every = [
        type_name([f for i, f in enumerate((*factors, "intrinsic")) if mask >> i & 1], factors)
        for mask in range(1, 16)
    ]
    numbers = [type_number(name, factors) for name in every]
    assert len(set(numbers)) == 15
    assert [type_number(name, factors) for name in (*factors, "intrinsic")] == [0, 1, 2, 3]
    assert in_order(every, factors)[:4] == ("azimuth", "elevation", "light", "azimuth+elevation")
    assert in_order(every, factors)[-1] == "intrinsic"


@pytest.mark.parametrize("name", ["", "posture", "azimuth+", "pose=1", "azimuth,light"])
def test_an_unknown_type_is_refused_with_the_list(name) -> None:
    with pytest.raises(InputError, match="among azimuth, light, pose, intrinsic, or factors"):
        type_factors(name, ("azimuth", "light"))


def test_numbers_of_one_set_under_two_names_add_up() -> None:
    found = numbers_by_type("light+azimuth=1,pose=2,each=3", ("azimuth", "light"))
    assert found == {"azimuth": 3, "light": 3, "pose": 3}
