"""Laws of checkpoints: whole or not there, damage is named, and no file that is read runs code."""

import dataclasses
import json
import os
import pickle
import random
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import trained

from pyro_dcign.errors import InputError
from pyro_dcign.files.disk import digest
from pyro_dcign.runs import checkpoint
from pyro_dcign.runs.checkpoint import (
    FILES,
    MANIFEST,
    OPTIMIZER,
    PARAMETERS,
    RANDOM,
    STATE,
    best_checkpoint,
    load_module_file,
    load_parameters,
    newest_checkpoint,
    sound_checkpoints,
    tidy,
)
from pyro_dcign.training.train import Trainer


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("run"), store)


@pytest.fixture
def copy(run, tmp_path):
    """A folder of that run's that a test may damage."""
    return Path(shutil.copytree(run.folder, tmp_path / "copy"))


def newest(folder: Path) -> Path:
    return folder / "checkpoints" / "step-000000040"


def names(folder: Path) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [path.name for path in sound_checkpoints(folder)]


def damages(path: Path, draw: random.Random) -> str:
    """Flip a byte of a file, or cut it, at a random place."""
    data = bytearray(path.read_bytes())
    place = draw.randrange(len(data))
    if draw.random() < 0.3:
        del data[place:]
    else:
        data[place] ^= draw.randrange(1, 256)
    path.write_bytes(data)
    return f"{path.name} at {place}"


@pytest.mark.parametrize("places", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_damage_at_any_place_is_found_and_the_checkpoint_before_is_used(places, copy) -> None:
    draw, whole = random.Random(0), {p.name: p.read_bytes() for p in newest(copy).iterdir()}
    assert set(whole) == {*FILES, MANIFEST}
    for _ in range(places):
        name = draw.choice(sorted(whole))
        place = damages(newest(copy) / name, draw)
        with pytest.warns(UserWarning, match="step-000000040 is damaged and is skipped"):
            assert newest_checkpoint(copy).name == "step-000000020", place
        (newest(copy) / name).write_bytes(whole[name])
    assert names(copy)[0] == "step-000000040"


def test_a_run_whose_every_checkpoint_is_damaged_is_refused_by_name(run, copy, store) -> None:
    for folder in (copy / "checkpoints").iterdir():
        (folder / PARAMETERS).unlink()
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(InputError, match=r"copy/checkpoints has no sound checkpoint"),
    ):
        newest_checkpoint(copy)


def test_the_best_checkpoint_outlives_the_last_ones(run, copy, store) -> None:
    states = {}
    for folder in (copy / "checkpoints").iterdir():
        states[folder.name] = json.loads((folder / STATE).read_text())["elbo"]
    assert states["step-000000000"] is None
    better = max(("step-000000020", "step-000000040"), key=lambda name: states[name])
    assert best_checkpoint(copy).name == better
    optimizer = Trainer(run, store, resume=True).optimizer
    where = dataclasses.replace(run, folder=copy)
    for step in range(50, 100, 10):
        state = {"step": step, "elbo": -1e9}
        checkpoint.save_checkpoint(where, optimizer, state, random={"cpu": torch.get_rng_state()})
    last = ["step-000000090", "step-000000080", "step-000000070"]
    assert names(copy) == [*last, better]


def test_no_best_checkpoint_is_said_where_no_elbo_was_measured(copy) -> None:
    for name in ("step-000000020", "step-000000040"):
        shutil.rmtree(copy / "checkpoints" / name)
    with pytest.raises(InputError, match="no checkpoint with a test ELBO"):
        best_checkpoint(copy)


def test_a_sound_checkpoint_of_the_same_step_stays_as_it_is(run, copy, store) -> None:
    optimizer = Trainer(run, store, resume=True).optimizer
    where = dataclasses.replace(run, folder=copy)
    before = (newest(copy) / STATE).stat().st_mtime_ns
    checkpoint.save_checkpoint(
        where, optimizer, {"step": 40}, random={"cpu": torch.get_rng_state()}
    )
    assert (newest(copy) / STATE).stat().st_mtime_ns == before


def test_a_save_that_fails_leaves_the_older_ones_and_no_trace(
    run, copy, store, monkeypatch
) -> None:
    optimizer = Trainer(run, store, resume=True).optimizer
    where = dataclasses.replace(run, folder=copy)
    before = sorted(copy.rglob("*"))

    def full(path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(checkpoint, "sync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save_checkpoint(
            where, optimizer, {"step": 50}, random={"cpu": torch.get_rng_state()}
        )
    assert sorted(copy.rglob("*")) == before


def test_what_a_killed_process_left_is_removed(copy) -> None:
    for name in (".step-000000050.123", ".step-000000010.gone"):
        shutil.copytree(newest(copy), copy / "checkpoints" / name)
    tidy(copy)
    assert sorted(p.name for p in (copy / "checkpoints").iterdir()) == [
        "step-000000000",
        "step-000000020",
        "step-000000040",
    ]


class Mark:
    """A pickle that, once loaded, makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", [PARAMETERS, OPTIMIZER])
def test_a_pickle_in_a_checkpoints_place_is_refused_and_never_loaded(
    name, run, copy, store, tmp_path
) -> None:
    mark = tmp_path / "mark"
    data = pickle.dumps(Mark(mark))
    pickle.loads(data)  # the payload works
    mark.rmdir()
    (newest(copy) / name).write_bytes(data)
    digests = {n: digest(newest(copy) / n) for n in FILES}
    (newest(copy) / MANIFEST).write_bytes(checkpoint._canonical(digests))
    where = dataclasses.replace(run, folder=copy)
    with pytest.raises(InputError, match=rf"{name} is to be safetensors"):
        Trainer(where, store, resume=True)
    torch.save({"weights": Mark(mark)}, copy / PARAMETERS)
    with pytest.raises(InputError, match="is to be safetensors"):
        load_parameters(where)
    assert not mark.exists()


def changed(path: Path, change) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    digests = {n: digest(path.parent / n) for n in FILES}
    (path.parent / MANIFEST).write_bytes(checkpoint._canonical(digests))


def first(tensors: dict[str, torch.Tensor]) -> str:
    return next(iter(sorted(tensors)))


def to_nan(tensors):
    tensors[first(tensors)].view(-1)[0] = float("nan")


def to_whole_numbers(tensors):
    tensors[first(tensors)] = tensors[first(tensors)].int()


def to_one(tensors):
    tensors[first(tensors)] = torch.zeros(1)


def to_more(tensors):
    tensors["exp_avg.99999"] = torch.zeros(3)


def to_huge(tensors):
    tensors["more"] = torch.zeros(2**22)


@pytest.mark.parametrize("change", [to_nan, to_whole_numbers, to_one, to_more, to_huge])
@pytest.mark.parametrize("name", [PARAMETERS, OPTIMIZER])
def test_a_strangers_checkpoint_with_other_tensors_is_refused(
    name, change, run, copy, store
) -> None:
    if (name, change) == (OPTIMIZER, to_nan):
        pytest.skip("moments are never read but by training, which says what is not finite")
    changed(newest(copy) / name, change)
    where = dataclasses.replace(run, folder=copy)
    with pytest.raises(InputError, match=r"is to hold .*; restore"):
        Trainer(where, store, resume=True)


@pytest.mark.parametrize(
    "change",
    [
        {"step": -1},
        {"step": "40"},
        {"step": True},
        {"config": None},
        {"schedule": {}},
        {"schedule": None},
        {"seconds": "long"},
        {"data": "other"},
    ],
    ids=str,
)
def test_a_strangers_state_is_refused(change, run, copy, store) -> None:
    path = newest(copy) / STATE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    digests = {n: digest(path.parent / n) for n in FILES}
    (path.parent / MANIFEST).write_bytes(checkpoint._canonical(digests))
    where = dataclasses.replace(run, folder=copy)
    with pytest.raises(InputError):
        Trainer(where, store, resume=True)


@pytest.mark.parametrize("numbers", [[1, 2], [1.5] * 5056, [0] * 5056], ids=len)
def test_a_strangers_generators_are_refused(numbers, run, copy, store) -> None:
    changed(newest(copy) / RANDOM, lambda tensors: tensors.update(cpu=torch.tensor(numbers)))
    where = dataclasses.replace(run, folder=copy)
    with pytest.raises(InputError, match="is to keep generators"):
        Trainer(where, store, resume=True)


def test_a_manifest_cannot_name_a_file_elsewhere(copy) -> None:
    digests = json.loads((newest(copy) / MANIFEST).read_text())
    digests["../../config.toml"] = digests.pop(PARAMETERS)
    (newest(copy) / MANIFEST).write_bytes(checkpoint._canonical(digests))
    assert "step-000000040" not in names(copy)


def test_half_precision_parameters_are_read_as_the_network_needs_them(run, copy) -> None:
    path = newest(copy) / PARAMETERS
    save_file({k: v.half() for k, v in load_file(path).items()}, path)
    load_module_file(run, path)
    assert all(p.dtype == torch.float32 for p in run.modules.parameters())
