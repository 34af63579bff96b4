"""Shapes are checked at run time in every test."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# Experiments and rivals lie outside the package.
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "analyses" / "reproduce")]

settings.register_profile("any-speed", deadline=None)
settings.load_profile("any-speed")

# A million steps take three times as long with it.
if "PYRO_DCIGN_UNCHECKED" not in os.environ:
    # All but Triton's kernels, whose functions Triton parses itself.
    package = Path(find_spec("pyro_dcign").submodule_search_locations[0])
    # jaxtyping takes all under a name as well, so the names are those of the modules.
    modules = (p.relative_to(package) for p in package.rglob("*.py") if p.stem != "__init__")
    parts = [p.with_suffix("").parts for p in modules if "kernels" not in p.parts]
    guides = [("guides", p.stem) for p in (package / "guides").glob("*.py")]  # behind a link
    checked = [".".join(("pyro_dcign", *names)) for names in parts + guides]
    install_import_hook(checked, "shapes.check")


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Typed minibatches of the fake scene at 16 pixels."""
    from fake_scene import FakeScene, load

    from pyro_dcign.datasets.generate import make
    from pyro_dcign.datasets.plans.recipe import Recipe, counts
    from pyro_dcign.varying import standard_types

    number = counts(standard_types(FakeScene().factors), train=4, intrinsic=8, test=2)
    recipe = Recipe("fake", number, side=16, size=6)
    return make(tmp_path_factory.mktemp("data") / "set", recipe, load, workers=1, quiet=True)


@pytest.fixture
def two_threads():
    """PyTorch with two threads; one in ``make test``, where every core has its own tests."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run(capsys):
    """``pyro-dcign`` with these words: its exit status, and what it wrote to stdout and stderr."""
    from pyro_dcign.cli import main

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return caught.value.code or 0, out, err

    return run
