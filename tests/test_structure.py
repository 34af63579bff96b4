"""The order of the house: a module imports only what stands before it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pyro_dcign"
ORDER = [
    "errors",
    "config",
    "files",
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
    "cli",
    "__main__",
]
FILES = {*PACKAGE.rglob("*.py"), *(PACKAGE / "guides").glob("*.py")}  # behind a link
FILES = sorted(FILES - {PACKAGE / "__init__.py"})


def room(name: str) -> str:
    """The module or folder of the package that a dotted name lies in."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


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


def test_the_package_reaches_guides_through_load_guide_only() -> None:
    assert [p for p in FILES if "guides" in imports(p) and "guides" not in p.parts] == []
