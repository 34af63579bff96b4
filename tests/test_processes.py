"""Laws of training in several processes: the update is that of one with all the minibatches."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file

from pyro_dcign.config import configure
from pyro_dcign.datasets.store import Store
from pyro_dcign.errors import InputError
from pyro_dcign.runs.run import build
from pyro_dcign.training.feed import Draws
from pyro_dcign.training.processes import Processes, join
from pyro_dcign.training.train import Trainer

# The principal start draws before the noise that is repeated here; these start at random.
SETTINGS = tiny.SETTINGS | {"steps": 20, "minibatches": 4, "decay": 0.0, "warmup": 0}


LEAVE = """
import os, torch
from pyro_dcign.training.processes import join, leave
processes = join(torch.device("cpu"))
torch.optim.Adam([torch.zeros(1, requires_grad=True)]).zero_grad()
processes.wait()
leave()
names = [open(f"/proc/self/task/{task}/comm").read() for task in os.listdir("/proc/self/task")]
assert not [name for name in names if "gloo" in name], names
"""


def torchrun(*words: str) -> None:
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*line, *words],
        env=tiny.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def fit(*words: str) -> None:
    torchrun("-m", "pyro_dcign", "fit", "--no-report", *words)


def accumulated(folder: Path, store: Store) -> dict[str, torch.Tensor]:
    """One process that takes the same minibatches with the same noise, one half after the other."""
    run = build(folder, configure(SETTINGS), store.factors)
    trainer = Trainer(run, store)
    states = []
    for rank in range(2):
        torch.manual_seed(1_000_003 * rank)
        states.append(torch.get_rng_state())
    draws = trainer.feed.draw(20, 4)
    for rows, active in zip(draws.rows, draws.active, strict=True):
        trainer.optimizer.zero_grad()
        for rank in range(2):
            mine = slice(2 * rank, 2 * rank + 2)
            images = trainer.feed.images(rows[mine])
            torch.set_rng_state(states[rank])
            trainer.svi.gradients(images, active[mine])
            states[rank] = torch.get_rng_state()
        trainer.optimizer.step()
    return run.modules.state_dict()


def test_two_processes_train_as_one_with_accumulated_gradients(store, tmp_path) -> None:
    run, config = tmp_path / "run", tmp_path / "config.toml"
    lines = [f"{k} = {json.dumps(v)}" for k, v in SETTINGS.items()]
    config.write_text("\n".join(lines), encoding="utf-8")
    fit("--config", str(config), "--data", str(store.folder), "--out", str(run))
    checkpoint = run / "checkpoints" / "step-000000020"
    found = load_file(checkpoint / "parameters.safetensors")
    wanted = accumulated(tmp_path, store)
    for name, parameter in wanted.items():
        # Sums in another order: Adam divides differences of 1e-7 by the gradient's own size.
        torch.testing.assert_close(found[name], parameter, rtol=0, atol=2e-5, msg=name)
    assert {"cpu", "cpu.1"} <= set(load_file(checkpoint / "random.safetensors"))
    record = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert record["step"] == 20
    assert math.isfinite(record["test"]["elbo"])
    fit("--resume", str(run), "--steps", "24")
    assert (run / "checkpoints" / "step-000000024").is_dir()


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_no_thread_of_the_group_outlives_it() -> None:
    # One that still drops a tensor while the interpreter ends aborts the process.
    torchrun("--no-python", sys.executable, "-c", LEAVE)


def test_processes_share_every_minibatch_once() -> None:
    draws = Draws(torch.arange(12).view(2, 6), torch.zeros(2, 6, 3, dtype=torch.bool))
    parts = [Processes(rank, 3).share(draws).rows for rank in range(3)]
    assert torch.equal(torch.cat(parts, 1), draws.rows)


def test_minibatches_that_cannot_be_shared_are_refused() -> None:
    with pytest.raises(InputError, match=r"multiple of the 2 processes, got 3; .* 4"):
        Processes(0, 2).portion(3)


def test_a_process_without_torchrun_is_alone(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join(torch.device("cpu")) == Processes()


def test_each_process_finds_its_own_generators() -> None:
    states = {"cpu": torch.tensor(0), "cpu.1": torch.tensor(1), "cuda.1": torch.tensor(2)}
    assert Processes(0, 2).own_random(states) == {"cpu": states["cpu"]}
    assert Processes(1, 2).own_random(states) == {"cpu": states["cpu.1"], "cuda": states["cuda.1"]}
    assert Processes(2, 3).own_random(states) is None
