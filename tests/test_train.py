"""Laws of training: it learns, it can be resumed, and it says what it did."""

import dataclasses
import json

import pytest
import torch
from tiny import TINY, trained

from pyro_dcign.checkpoint import load_parameters, sound_checkpoints
from pyro_dcign.errors import InputError
from pyro_dcign.record import METRICS
from pyro_dcign.run import Run, build
from pyro_dcign.train import Trainer


def parameters(run: Run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.modules.parameters()])


@pytest.mark.parametrize("clamp", ["mean", "first", "exchange", "none"])
def test_a_tiny_fit_beats_its_own_starting_point(clamp, store, tmp_path) -> None:
    trained(tmp_path, store, dataclasses.replace(TINY, clamp=clamp, steps=200))
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    elbos = [line["test"]["elbo"] for line in lines if line["test"]]
    assert len(elbos) == 10
    # the untrained network's grey image costs 256 · log 2 = 177 nats
    assert elbos[-1] > elbos[0] + 5 > -177 + 5


def test_several_minibatches_a_step_are_clamped_apart_and_learn(store, tmp_path) -> None:
    config = dataclasses.replace(TINY, minibatches=3)
    trained(tmp_path, store, config)
    last = json.loads((tmp_path / METRICS).read_text().splitlines()[-1])
    assert last["step"] == config.steps
    assert set(last["train"]) <= {"azimuth", "elevation", "light", "intrinsic"}


@pytest.mark.parametrize("clamp", ["mean", "exchange"])
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(clamp, store, tmp_path) -> None:
    config = dataclasses.replace(TINY, clamp=clamp, decay=0.5)
    whole = trained(tmp_path / "whole", store, config)
    folder = tmp_path / "halves"
    folder.mkdir()
    run = build(folder, config, store.factors)
    for record in Trainer(run, store).records():
        if record.step >= 25:
            break
    again = trained(folder, store, config, resume=True)
    assert torch.equal(parameters(whole), parameters(again))


def test_a_damaged_checkpoint_is_skipped_by_name_for_the_one_before(store, tmp_path) -> None:
    run = trained(tmp_path, store)
    newest = tmp_path / "checkpoints" / "step-000000040"
    with (newest / "parameters.safetensors").open("r+b") as file:
        file.seek(-3, 2)
        file.write(b"\xff")
    with pytest.warns(UserWarning, match="step-000000040 is damaged and is skipped"):
        assert [path.name for path in sound_checkpoints(tmp_path)] == [
            "step-000000020",
            "step-000000000",
        ]
    with pytest.warns(UserWarning, match="is damaged"):
        load_parameters(run)


def test_training_leaves_no_temporary_files(store, tmp_path) -> None:
    trained(tmp_path, store)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "step-000000000",
        "step-000000020",
        "step-000000040",
    ]


def test_data_of_another_side_are_refused(store, tmp_path) -> None:
    run = build(tmp_path, dataclasses.replace(TINY, side=24), store.factors)
    with pytest.raises(InputError, match=r"side is 24, but the images in .* are 16"):
        Trainer(run, store)


def test_the_learning_rate_falls_to_zero_over_the_last_share(store, tmp_path) -> None:
    run = build(tmp_path, dataclasses.replace(TINY, decay=0.5), store.factors)
    trainer, rates = Trainer(run, store), []
    for _ in trainer.records():
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([5e-3, 5e-3, 5e-3, 2.5e-3])
