"""The manifest of a store: a small JSON file that says what the shards hold."""

import hashlib
import json
import re
import reprlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pyro_dcign.code import INTRINSIC, FactorRange
from pyro_dcign.errors import InputError
from pyro_dcign.files import content, parse_json
from pyro_dcign.varying import in_order, known_type, standard_types

FORMAT = "pyro-dcign store"
VERSION = 1
FILE = "manifest.json"
SPLITS = ("train", "test")

MAX_SIDE = 1024
MAX_SIZE = 4096
MAX_FACTORS = 16

MAX_TYPE = 160
"""Longest name of a type of minibatches."""

MAX_IMAGES = 2_000_000
"""Most images of a set that is read from someone's format; MPI3D has 1,036,800."""

MAX_VALUE = 1e9
"""Largest value of a factor."""

_MAX_BYTES = 8 * 2**20  # of 30,000 shards, a terabyte of images
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_SHARD = re.compile(r"[a-z][a-z0-9_-]{0,199}\.safetensors")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Shard:
    """One file of minibatches of one type.

    Attributes:
        file: Name inside the store's folder, without any path.
        varying: Type of its minibatches: the name of the set of factors that vary in each.
        minibatches: How many it holds.
        sha256: Digest of the file.
        bytes: Size of the file.
    """

    file: str
    varying: str
    minibatches: int
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a store holds.

    Attributes:
        side: Height and width of every image, in pixels.
        size: Images in a minibatch.
        factors: Range of each extrinsic factor, in the order of the graphics code.
        shards: Files of each split, "train" and "test".
        recipe: How to make the same set again, or where an imported one comes from.
        labelled: False where the true factors are unknown; the shards then hold NaN.
        tolerance: How far a held factor may stray within a minibatch, in its own unit.
    """

    side: int
    size: int
    factors: Mapping[str, FactorRange]
    shards: Mapping[str, tuple[Shard, ...]]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    labelled: bool = True
    tolerance: float = 0.0

    @property
    def types(self) -> tuple[str, ...]:
        """Every factor alone, and the larger sets that there are minibatches of."""
        there = {shard.varying for listed in self.shards.values() for shard in listed}
        return in_order({*self.factors, INTRINSIC, *there}, self.factors)

    def to_json(self) -> str:
        """Text of the manifest: the same bytes for the same contents."""
        head = {"format": FORMAT, "version": VERSION}
        factors = [{"name": name, **asdict(limits)} for name, limits in self.factors.items()]
        return _sealed({**head, **asdict(self), "factors": factors})


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the store in a folder, with every entry checked.

    The last entry is the digest of those before it. A manifest without it (written elsewhere, or
    before there was one) is read as it stands.

    Raises:
        InputError: No such folder, no manifest in it, or one that is malformed.
    """
    path = folder / FILE
    if not folder.is_dir():
        raise InputError(
            f"expected a data folder at {folder}, found none; make one: pyro-dcign data make"
        )
    if not path.is_file():
        raise InputError(
            f"expected {FILE} in {folder}, found none; give the folder that data make wrote"
        )
    text = content(path, _MAX_BYTES, remedy="make or fetch it again")
    try:
        found = parse_json(text)
    except ValueError as error:
        raise InputError(f"{path}: expected JSON, found {error}; make or fetch it again") from None
    if isinstance(found, dict) and "sha256" in found:
        body = {key: value for key, value in found.items() if key != "sha256"}
        if _sealed(body).encode() != text:
            raise InputError(
                f"{path}: expected the bytes that were written, found others (its sha256 does not "
                f"fit); make or fetch the data again, or remove that entry if you edited it"
            )
    return _Reader(path).manifest(found)


def _sealed(body: Mapping[str, Any]) -> str:
    """JSON of a manifest with the digest of the rest as its last entry."""
    digest = hashlib.sha256(json.dumps(body, indent=1).encode()).hexdigest()
    return json.dumps({**body, "sha256": digest}, indent=1) + "\n"


def check_factor_names(names: tuple[str, ...]) -> None:
    """Raise InputError unless every name of an extrinsic factor can name files and sites."""
    for name in names:
        if name == INTRINSIC or not _NAME.fullmatch(name):
            raise InputError(
                f"expected a factor name of a-z, 0-9 and _ other than {INTRINSIC!r}, "
                f"found {name!r}; rename it"
            )


def is_type(varying: object, factors: Collection[str]) -> bool:
    """Whether this is the one name of a set of factors, and short enough to name files."""
    if not isinstance(varying, str) or len(varying) > MAX_TYPE:
        return False
    try:
        return known_type(varying, factors) == varying
    except InputError:
        return False


class _Reader:
    """Turns parsed JSON into a manifest; each refusal names the file and the entry."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def refuse(self, expected: str, found: object) -> InputError:
        shown = reprlib.repr(found)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return InputError(
            f"{self.path}: expected {expected}, found {shown}; make or fetch the data again"
        )

    def entry(self, found: object, key: str) -> Any:
        if not isinstance(found, dict) or key not in found:
            raise self.refuse(f"an object with the key {key!r}", found)
        return found[key]

    def integer(self, found: object, key: str, low: int, high: int) -> int:
        value = self.entry(found, key)
        if type(value) is not int or not low <= value <= high:
            raise self.refuse(f"{key} to be a whole number from {low} to {high}", value)
        return value

    def number(self, value: object, what: str) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not abs(value) <= MAX_VALUE
        ):
            raise self.refuse(f"{what} to be a number within {MAX_VALUE:g}", value)
        return float(value)

    def text(self, found: object, key: str, pattern: re.Pattern[str]) -> str:
        value = self.entry(found, key)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self.refuse(f"{key} to look like {pattern.pattern}", value)
        return value

    def factor(self, found: object) -> FactorRange:
        low, high = (self.number(self.entry(found, key), key) for key in ("low", "high"))
        values = self.entry(found, "values")
        if not isinstance(values, list) or len(values) > 100_000:
            raise self.refuse("values to be a list", values)
        period = self.entry(found, "period")
        if period is not None:
            period = self.number(period, "period")
        if low > high or (period is not None and period <= 0):
            raise self.refuse("low at most high and a positive period", found)
        return FactorRange(low, high, tuple(self.number(v, "a value") for v in values), period)

    def shard(self, found: object, factors: Mapping[str, FactorRange]) -> Shard:
        varying = self.entry(found, "varying")
        if not is_type(varying, factors):
            named = ", ".join(standard_types(factors))
            raise self.refuse(f"varying to be one of {named}, or factors joined by +", varying)
        return Shard(
            file=self.text(found, "file", _SHARD),
            varying=varying,
            minibatches=self.integer(found, "minibatches", 1, 2**31),
            sha256=self.text(found, "sha256", _SHA256),
            bytes=self.integer(found, "bytes", 8, 2**50),
        )

    def manifest(self, found: object) -> Manifest:
        if self.entry(found, "format") != FORMAT:
            raise self.refuse(f"format {FORMAT!r}", self.entry(found, "format"))
        if self.entry(found, "version") != VERSION:
            raise self.refuse(f"version {VERSION}", self.entry(found, "version"))
        known = {"format", "version", "sha256", *(entry.name for entry in fields(Manifest))}
        if isinstance(found, dict) and (more := set(found) - known):
            raise self.refuse(f"no other keys than {', '.join(sorted(known))}", sorted(more))
        listed = self.entry(found, "factors")
        if not isinstance(listed, list) or len(listed) > MAX_FACTORS:
            raise self.refuse(f"factors to be a list of at most {MAX_FACTORS}", listed)
        factors = {self.text(one, "name", _NAME): self.factor(one) for one in listed}
        if len(factors) != len(listed) or INTRINSIC in factors:
            raise self.refuse(f"different factor names, none {INTRINSIC!r}", list(factors))
        splits = self.entry(found, "shards")
        if not isinstance(splits, dict) or set(splits) != set(SPLITS):
            raise self.refuse("shards of the splits train and test", splits)
        shards = {}
        for split in SPLITS:
            if not isinstance(splits[split], list):
                raise self.refuse(f"a list of the shards of {split}", splits[split])
            shards[split] = tuple(self.shard(one, factors) for one in splits[split])
        files = [shard.file for split in SPLITS for shard in shards[split]]
        if len(set(files)) != len(files):
            raise self.refuse("each shard to be named once", files)
        recipe = self.entry(found, "recipe")
        if not isinstance(recipe, dict):
            raise self.refuse("recipe to be an object", recipe)
        labelled = self.entry(found, "labelled")
        if not isinstance(labelled, bool):
            raise self.refuse("labelled to be true or false", labelled)
        return Manifest(
            side=self.integer(found, "side", 1, MAX_SIDE),
            size=self.integer(found, "size", 2, MAX_SIZE),
            factors=factors,
            shards=shards,
            recipe=recipe,
            labelled=labelled,
            tolerance=self.number(self.entry(found, "tolerance"), "tolerance"),
        )
