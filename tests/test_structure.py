"""The order of the house: a module imports only what stands before it."""

import ast
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pyro_dcign"
ORDER = [
    "errors",
    "config",
    "files",
    "varying",
    "code",
    "images",
    "machine",
    "style",
    "scenes",
    "datasets",
    "model",
    "guides",
    "runs",
    "training",
    "posterior",
    "measures",
    "explorer",
    "network",
    "cli",
    "__main__",
]
FILES = {*PACKAGE.rglob("*.py"), *(PACKAGE / "guides").glob("*.py")}  # behind a link
FILES = sorted(FILES - {PACKAGE / "__init__.py"})


def room(name: str) -> str:
    """The module or folder of the package that a dotted name lies in."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def modules(path: Path) -> set[str]:
    """Dotted names of the package's modules that a file imports from."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    names = {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module}
    return {name for name in names if name.startswith("pyro_dcign.")}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {room(name) for name in found if name.startswith("pyro_dcign")}


def test_every_module_has_its_place_in_the_order() -> None:
    assert {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES} == set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_what_stands_before_it(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    before = set(ORDER[: ORDER.index(own) + 1])
    assert imports(path) - {"", "__version__"} <= before


ROOMS = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_is_entered_by_its_face(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    others = {name for name in modules(path) if room(name) in ROOMS - {own}}
    assert {name for name in others if name.count(".") > 1} == set()


@pytest.mark.parametrize("face", [PACKAGE / name / "__init__.py" for name in sorted(ROOMS)])
def test_a_face_is_read_at_a_glance(face: Path) -> None:
    assert len(face.read_text(encoding="utf-8").splitlines()) <= 40


def test_no_module_of_a_room_is_named_as_what_its_face_gives() -> None:
    # "from room import name" would give the one or the other, whichever came last.
    for name in sorted(ROOMS - {"cli"}):
        face = importlib.import_module(f"pyro_dcign.{name}")
        files = {path.stem for path in (PACKAGE / name).glob("*.py")}
        assert files & set(getattr(face, "__all__", ())) == set()


def test_the_package_reaches_guides_through_load_guide_only() -> None:
    assert [p for p in FILES if "guides" in imports(p) and "guides" not in p.parts] == []
