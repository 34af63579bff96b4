"""What varies in a minibatch: a set of factors, which is its type, and the name of that set."""

from collections.abc import Collection, Iterable

from pyro_dcign.errors import InputError

INTRINSIC = "intrinsic"
"""Name of the factor that holds identity: shape, texture and all else without a knob."""

POSE = "pose"
"""Name of the type in which every extrinsic factor varies: one person in many poses."""

EACH = "each"
"""Stands for every extrinsic factor that is not named itself, where types are given numbers."""


def type_factors(varying: str, extrinsic: Collection[str]) -> frozenset[str]:
    """The factors that vary in minibatches of a type, given the type's name.

    A type of minibatches is a set of factors: they vary, all others are held. The paper's types are
    the sets of one, named as their factor (section 3.2). ``pose`` names the set of all extrinsic
    factors, and ``+`` joins sets. A factor that is itself called ``pose`` keeps its name.

    Args:
        varying: Name of the type.
        extrinsic: Names of the extrinsic factors.

    Raises:
        InputError: A name of no factor.

    Example:
        >>> sorted(type_factors("pose", ("azimuth", "light")))
        ['azimuth', 'light']
    """
    found: set[str] = set()
    for part in varying.split("+"):
        if part in extrinsic or part == INTRINSIC:
            found.add(part)
        elif part == POSE and extrinsic:
            found |= set(extrinsic)
        else:
            named = ", ".join(standard_types(extrinsic))
            raise InputError(
                f"expected a type of minibatches among {named}, or factors joined by +, "
                f"found {varying!r}; name one of those"
            )
    return frozenset(found)


def type_name(varying: Collection[str], extrinsic: Collection[str]) -> str:
    """The one name of a set of factors, the inverse of :func:`type_factors`.

    Factors come in the order of the code. Where there is one extrinsic factor, the set of all of
    them is that of this one, and has its name.

    Example:
        >>> type_name({"light", "azimuth"}, ("azimuth", "elevation", "light"))
        'azimuth+light'
    """
    several = len(extrinsic) > 1 and POSE not in extrinsic
    if several and set(varying) == set(extrinsic):
        return POSE
    return "+".join(name for name in (*extrinsic, INTRINSIC) if name in varying)


def known_type(varying: str, extrinsic: Collection[str]) -> str:
    """The one name of the type that a name stands for.

    Raises:
        InputError: A name of no factor.

    Example:
        >>> known_type("light+azimuth", ("azimuth", "light")), known_type("pose", ("azimuth",))
        ('pose', 'azimuth')
    """
    return type_name(type_factors(varying, extrinsic), extrinsic)


def standard_types(extrinsic: Collection[str]) -> tuple[str, ...]:
    """The types that every labelled set can form: each factor alone, and the whole pose.

    Example:
        >>> standard_types(("azimuth", "light")), standard_types(("azimuth",))
        (('azimuth', 'light', 'pose', 'intrinsic'), ('azimuth', 'intrinsic'))
    """
    pose = (type_name(extrinsic, extrinsic),) if extrinsic else ()
    return tuple(dict.fromkeys((*extrinsic, *pose, INTRINSIC)))


def type_number(varying: str, extrinsic: Collection[str]) -> int:
    """Number of a type, by which seeds tell types apart.

    The place of a single factor among the code's; of several factors the number of all factors
    plus the binary number of the set.

    Example:
        >>> [type_number(name, ("azimuth", "light")) for name in ("light", "intrinsic", "pose")]
        [1, 2, 6]
    """
    factors = (*extrinsic, INTRINSIC)
    places = [factors.index(name) for name in type_factors(varying, extrinsic)]
    return places[0] if len(places) == 1 else len(factors) + sum(1 << i for i in places)


def in_order(types: Iterable[str], extrinsic: Collection[str]) -> tuple[str, ...]:
    """Types, each once, in the order in which they are kept: smaller sets first, intrinsic last."""

    def place(varying: str) -> tuple[bool, int, int]:
        size = len(type_factors(varying, extrinsic))
        return varying == INTRINSIC, size, type_number(varying, extrinsic)

    return tuple(sorted(set(types), key=place))


def numbers_by_type(text: str, extrinsic: Collection[str]) -> dict[str, float]:
    """Numbers of types from text such as ``azimuth=1,pose=5`` or ``each=1,pose=5``.

    ``each`` stands for every extrinsic factor that is not named. Where two names mean one set of
    factors, its number is their sum.

    Raises:
        InputError: A name of no type, one that comes twice, or no number of 0 or more.

    Example:
        >>> numbers_by_type("each=1,pose=5,light=2", ("azimuth", "light"))
        {'azimuth': 1.0, 'light': 2.0, 'pose': 5.0}
    """
    written: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf") or name in written:
            named = ",".join(f"{varying}=1" for varying in standard_types(extrinsic))
            raise InputError(
                f"expected numbers of 0 or more such as {named}, each type once, "
                f"found {part!r}; mend it"
            )
        written[name] = value
    if EACH in written and EACH not in extrinsic:
        each = written.pop(EACH)
        written |= {name: each for name in extrinsic if name not in written}
    total: dict[str, float] = {}
    for name, value in written.items():
        varying = known_type(name, extrinsic)
        total[varying] = total.get(varying, 0.0) + value
    return {varying: total[varying] for varying in in_order(total, extrinsic)}
