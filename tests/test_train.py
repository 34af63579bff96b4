"""Laws of training: it learns, it can be resumed, and it says what it did."""

import dataclasses
import json

import pytest
import torch
from tiny import TINY, trained

from pyro_dcign.errors import InputError
from pyro_dcign.runs.checkpoint import load_parameters, sound_checkpoints
from pyro_dcign.runs.run import Run, build
from pyro_dcign.training.record import METRICS
from pyro_dcign.training.steps import CapturedSteps
from pyro_dcign.training.train import Trainer


def parameters(run: Run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.modules.parameters()])


@pytest.mark.parametrize(
    ("handler", "steps"), [("mean", 300), ("first", 300), ("exchange", 200), ("none", 300)]
)
def test_a_tiny_fit_beats_its_own_starting_point(handler, steps, store, tmp_path) -> None:
    trained(tmp_path, store, dataclasses.replace(TINY, handler=handler, steps=steps))
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    elbos = [line["test"]["elbo"] for line in lines if line["test"]]
    assert len(elbos) == steps // 20
    # the untrained network's grey image costs 256 · log 2 = 177 nats
    assert elbos[-1] > elbos[0] + 5 > -177 + 5


def test_several_minibatches_a_step_are_clamped_apart_and_learn(store, tmp_path) -> None:
    config = dataclasses.replace(TINY, minibatches=3)
    trained(tmp_path, store, config)
    last = json.loads((tmp_path / METRICS).read_text().splitlines()[-1])
    assert last["step"] == config.steps
    assert set(last["train"]) <= {"azimuth", "elevation", "light", "intrinsic"}


def test_parts_of_a_minibatch_hold_each_of_its_images_once(store, tmp_path) -> None:
    config = dataclasses.replace(TINY, minibatches=2, minibatch_size=2)
    feed = Trainer(build(tmp_path, config, store.factors), store).feed
    assert feed.pixels.shape[1] == 6
    parts = feed.chosen(torch.arange(3 * len(feed.pixels)))
    assert parts.shape[:2] == (3 * len(feed.pixels), 2)
    whole = parts.unflatten(0, (-1, 3)).transpose(1, 2).flatten(1, 2)
    assert torch.equal(whole, feed.pixels)


def test_parts_have_the_type_of_their_minibatch(store, tmp_path) -> None:
    config = dataclasses.replace(TINY, minibatches=2, minibatch_size=2)
    feed = Trainer(build(tmp_path, config, store.factors), store).feed
    blocks = store.load("train")
    draws = feed.draw(200, 2)
    met = set()
    for rows, active in zip(draws.rows.flatten(), draws.active.flatten(0, 1), strict=True):
        name = feed.code.factors[int(active.int().argmax())]
        index, part = divmod(int(rows) - 3 * feed.first[name], 3)
        met.add((name, index, part))
        wanted = blocks[name].pixels[index, part::3]
        assert torch.equal(feed.chosen(rows.view(1))[0], wanted)
    assert {part for *_, part in met} == {0, 1, 2}


@pytest.mark.parametrize("size", [1, 4, 12])
def test_a_size_that_does_not_divide_the_datas_is_refused(size, store, tmp_path) -> None:
    run = build(tmp_path, dataclasses.replace(TINY, minibatch_size=size), store.factors)
    with pytest.raises(InputError, match=f"6 images .* got {size}; use one of 2, 3, 6"):
        Trainer(run, store)


@pytest.mark.parametrize("clamp", ["mean", "exchange"])
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(clamp, store, tmp_path) -> None:
    config = dataclasses.replace(TINY, handler=clamp, decay=0.5, minibatch_size=3)
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


class Graph:
    """In the place of a captured step, on a machine without a GPU."""

    given_back = False

    def reset(self) -> None:
        self.given_back = True


@pytest.mark.parametrize("all_of_them", [True, False])
def test_a_captured_step_is_given_back_when_training_ends(all_of_them, store, tmp_path) -> None:
    # NCCL's communicators wait at their end for the graphs that captured them: fit hung there.
    trainer = Trainer(build(tmp_path, TINY, store.factors), store)
    captured = CapturedSteps(trainer.svi, trainer.feed, block=10, minibatches=1)
    captured.plain, captured.graph = trainer.steps, (graph := Graph())
    trainer.steps = captured
    records = trainer.records()
    next(records)
    assert not graph.given_back
    for _ in records if all_of_them else ():
        pass
    records.close()
    assert graph.given_back
    assert captured.graph is None
