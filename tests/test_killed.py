"""Laws of a fit that is killed, stopped, starved or misled: the work survives, and it says so."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file
from tiny import HERE, environment

from pyro_dcign.runs.checkpoint import newest_checkpoint

SETTINGS = tiny.SETTINGS | {"steps": 300, "checkpoint_every": 5, "evaluate_every": 50}


@pytest.fixture
def begin(store, tmp_path):
    """The words with which a fit of the small network begins in a folder."""

    def words(folder: str, **others) -> list[str]:
        file = tmp_path / f"{folder}.toml"
        settings = SETTINGS | {"data": str(store.folder)} | others
        file.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in settings.items()))
        return ["--config", str(file), "--out", str(tmp_path / folder), "--no-report"]

    return words


def go_on(folder: Path) -> list[str]:
    return ["--resume", str(folder), "--no-report"]


class Fits:
    """Fits in forks of one loaded process."""

    def __init__(self) -> None:
        line = [sys.executable, str(HERE / "killed.py")]
        self.process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )

    def start(self, words: list[str]) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def status(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def run(self, words: list[str]) -> int:
        self.start(words)
        return self.status()


@pytest.fixture(scope="module")
def fits():
    found = Fits()
    yield found
    found.process.stdin.close()
    found.process.wait()
    found.process.stdout.close()


def parameters(folder: Path) -> torch.Tensor:
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None
    assert checkpoint.name == f"step-{SETTINGS['steps']:09d}"
    read = load_file(checkpoint / "parameters.safetensors")
    return torch.cat([read[name].flatten() for name in sorted(read)])


@pytest.mark.parametrize("kills", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_at_any_moment_a_run_ends_as_the_uninterrupted_one(
    kills, fits, begin, tmp_path
) -> None:
    began = time.monotonic()
    assert fits.run(begin("whole")) == 0
    span, wanted, killed, runs = time.monotonic() - began, parameters(tmp_path / "whole"), 0, 0
    draw = random.Random(0)
    while killed < kills:
        runs += 1
        folder, words = tmp_path / f"run{runs}", begin(f"run{runs}")
        while True:
            # as make fit does: a folder with a config is gone on with
            fit = fits.start(go_on(folder) if (folder / "config.toml").exists() else words)
            time.sleep(draw.uniform(0, span / 3))
            if killed < kills:
                with suppress(ProcessLookupError):  # it has ended by itself
                    os.kill(fit, signal.SIGKILL)
            status = fits.status()
            if status == 0:
                break
            killed += 1
            assert status == -signal.SIGKILL
        assert torch.equal(parameters(folder), wanted)
        assert not list((folder / "checkpoints").glob(".*"))
        shutil.rmtree(folder)
    sys.stderr.write(f"{killed} fits killed, {runs} runs ended bit for bit alike\n")


def waits_for(folder: Path, name: str) -> None:
    for _ in range(6000):
        if (folder / name).exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"no {name} in {folder}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_step_saves_and_says_how_to_go_on(number, begin, store, tmp_path) -> None:
    folder = tmp_path / "run"
    line = [sys.executable, "-m", "pyro_dcign", "fit", *begin("run", steps=100_000)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment()) as fit:
        waits_for(folder, "checkpoints/step-000000005")
        fit.send_signal(number)
        _, said = fit.communicate()
    assert fit.returncode == 128 + number
    step = int(newest_checkpoint(folder).name.removeprefix("step-"))
    assert f"stopped at step {step}; go on with: pyro-dcign fit --resume {folder}" in said
    assert "Traceback" not in said


def test_a_second_signal_stops_at_once_and_leaves_a_good_checkpoint(begin, tmp_path) -> None:
    # One step takes minutes, so what ends it is the second signal.
    folder = tmp_path / "run"
    line = [sys.executable, "-m", "pyro_dcign", "fit", *begin("run", num_particles=100_000)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment()) as fit:
        waits_for(folder, "checkpoints/step-000000000")
        time.sleep(0.5)
        fit.send_signal(signal.SIGTERM)
        time.sleep(1.5)
        assert fit.poll() is None
        fit.send_signal(signal.SIGTERM)
        _, said = fit.communicate(timeout=60)
    assert fit.returncode == 130, said
    assert f"go on from its last checkpoint with --resume {folder}" in said
    assert newest_checkpoint(folder).name == "step-000000000"


def test_under_torchrun_a_signal_stops_all_processes_at_one_step(begin, tmp_path) -> None:
    folder = tmp_path / "run"
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line += ["-m", "pyro_dcign", "fit", *begin("run", minibatches=2, steps=100_000)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment()) as fit:
        waits_for(folder, "checkpoints/step-000000005")
        fit.send_signal(signal.SIGTERM)
        _, said = fit.communicate()
    checkpoint = newest_checkpoint(folder)
    step = int(checkpoint.name.removeprefix("step-"))
    assert said.count(f"stopped at step {step}; go on with") == 1
    assert {"cpu", "cpu.1"} <= set(load_file(checkpoint / "random.safetensors"))


def fit(words: list[str], **options) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "pyro_dcign", "fit", *words]
    return subprocess.run(
        line, capture_output=True, text=True, check=False, env=environment(), **options
    )


def error(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    *_, line = done.stderr.strip().split("\n")
    assert line.startswith("Error: ")
    return line


def test_a_second_fit_in_the_same_folder_is_told(begin, tmp_path) -> None:
    folder = tmp_path / "run"
    words = begin("run", steps=100_000)
    line = [sys.executable, "-m", "pyro_dcign", "fit", *words]
    with subprocess.Popen(line, stderr=subprocess.DEVNULL, env=environment()) as first:
        waits_for(folder, "checkpoints/step-000000005")
        assert "one run at a time, but another holds it" in error(fit(go_on(folder)))
        assert "is to be a new run, but holds one" in error(fit(words))
        first.kill()


def test_a_file_that_may_grow_no_further_stops_the_fit_in_one_line(begin, tmp_path) -> None:
    folder = tmp_path / "run"
    limit = 12_000  # bytes: parameters fit, their moments do not

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    said = error(fit(begin("run", network="paper"), preexec_fn=small_files))
    assert "expected to read or write" in said
    assert "step-000000005" in said
    assert newest_checkpoint(folder).name == "step-000000000"
    assert not list((folder / "checkpoints").glob(".*"))
    assert fit(go_on(folder)).returncode == 0


def test_a_full_disk_stops_the_fit_in_one_line_and_it_goes_on_later(begin, tmp_path) -> None:
    folder = tmp_path / "run"
    done = fit([*begin("run"), "--steps", "10"])
    assert done.returncode == 0
    (folder / "metrics.jsonl").unlink()
    (folder / "metrics.jsonl").symlink_to("/dev/full")
    assert "metrics.jsonl, got: No space left on device" in error(
        fit([*go_on(folder), "--steps", "20"])
    )
    (folder / "metrics.jsonl").unlink()
    assert fit([*go_on(folder), "--steps", "20"]).returncode == 0


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_read_only_folder_is_refused_in_one_line(begin, tmp_path) -> None:
    folder = tmp_path / "run"
    assert fit([*begin("run"), "--steps", "5"]).returncode == 0
    script = (
        f'mount --bind "{folder}" "{folder}" && mount -o remount,ro,bind "{folder}" || exit 77; '
    )
    script += 'exec "$@"'
    line = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", sys.executable]
    line += ["-m", "pyro_dcign", "fit", *go_on(folder), "--steps", "9"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment())
    if done.returncode in (1, 77) and "Error: " not in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert "Read-only file system" in error(done)


def test_data_that_have_vanished_are_named(begin, store, tmp_path) -> None:
    data = Path(shutil.copytree(store.folder, tmp_path / "data"))
    folder = tmp_path / "run"
    assert fit([*begin("run", data=str(data)), "--steps", "5"]).returncode == 0
    shutil.rmtree(data)
    assert f"expected a data folder at {data}" in error(fit([*go_on(folder), "--steps", "9"]))


def test_a_step_too_large_for_the_memory_is_one_line(begin, tmp_path) -> None:
    def little_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))

    words = begin("run", minibatches=4096, decoder_maps=[512, 512, 1])
    assert "expected enough memory" in error(fit(words, preexec_fn=little_memory))


def test_an_absurd_network_is_refused_before_it_gets_memory(begin, tmp_path) -> None:
    words = [*begin("run"), "--latents", "65536", "--decoder-maps", "4096,4096,4096,4096"]
    assert "at most 1,000,000,000 parameters, got" in error(fit(words))
    assert not (tmp_path / "run").exists()
