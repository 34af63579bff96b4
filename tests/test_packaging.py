"""A wheel built from the sdist, installed alone elsewhere, has its guides and its head basis."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command: str, cwd: Path, **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": "", **variables}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("packaging")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(work)]
    run(*build, "--sdist", str(ROOT), cwd=work)
    with tarfile.open(next(work.glob("*.tar.gz"))) as archive:
        archive.extractall(work, filter="data")
    source = next(p for p in work.glob("pyro_dcign-*") if p.is_dir())
    run(*build, "--wheel", str(source), cwd=work)
    site = work / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site)]
    run(*pip, str(next(work.glob("*.whl"))), cwd=work)
    return site


def test_the_wheel_is_what_is_imported_and_has_its_parts(site: Path, tmp_path: Path) -> None:
    code = """
import pyro_dcign, pyro_dcign.guides.mean_field as guide
from pyro_dcign.model.guide import load_guide
from pyro_dcign.scenes.heads import BASIS
assert load_guide("mean_field") is guide.MeanField
print(pyro_dcign.__file__, guide.__file__, BASIS.stat().st_size)
"""
    where, guide, size = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(site)).split()
    assert where.startswith(str(site))
    assert guide.startswith(str(site))
    assert int(size) < 2_500_000


def test_of_the_trained_networks_the_wheel_holds_the_small_ones_only(site: Path) -> None:
    held = sorted(p.parent.name for p in site.rglob("parameters.safetensors"))
    assert held == ["faces-small", "people-small"]


def test_the_wheel_fits_fifty_steps_on_real_heads(site: Path, tmp_path: Path) -> None:
    def command(*words: str) -> str:
        words = (sys.executable, "-m", "pyro_dcign", *words)
        return run(*words, cwd=tmp_path, PYTHONPATH=str(site))

    sizes = ["--side", "32", "--minibatches", "2", "--intrinsic", "4", "--test", "2"]
    command("data", "make", "faces", "--plain", "heads", *sizes)
    command(
        *("fit", "--data", "heads", "--side", "32", "--steps", "50", "--out", "run"),
        *("--encoder-maps", "8,8", "--decoder-maps", "8,8,1", "--decoder-kernels", "5,7"),
        *("--preset", "small", "--device", "cpu"),
    )
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left >= {"config.toml", "metrics.jsonl", "checkpoints", "figures", "MODEL_CARD.md"}
    assert "azimuth" in command("evaluate", "run")
