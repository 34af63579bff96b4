"""Laws of resuming: a run that was stopped anywhere goes on as if it had not been."""

import dataclasses
import json
import signal

import pytest
import torch
from tiny import TINY, trained

from pyro_dcign.datasets.generate import make
from pyro_dcign.errors import InputError
from pyro_dcign.model.guide import known_guides, load_guide
from pyro_dcign.runs.run import Run, build
from pyro_dcign.training.record import METRICS
from pyro_dcign.training.signals import Signals
from pyro_dcign.training.train import Trainer


def parameters(run: Run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.modules.parameters()])


def stopped(folder, store, config, after: int, *, resume: bool = False) -> int:
    """Train, be asked to stop ``after`` steps further on, and say at which step that was."""
    folder.mkdir(exist_ok=True)
    signals = Signals()
    trainer = Trainer(build(folder, config, store.factors), store, resume=resume, signals=signals)
    taken = iter(range(after))
    inner = trainer.svi.step

    def step(images, active, wanted=None):
        if next(taken, None) is None:
            signals.heard = signal.SIGTERM
        return inner(images, active, wanted)

    trainer.svi.step = step
    for _ in trainer.records():
        pass
    return trainer.step


def config_of(guide: str, **others):
    settings = {"guide": guide, "decay": 0.5, "steps": 24, **others}
    settings["clamp_on"] = getattr(load_guide(guide), "clamp_on", None) or "parameters"
    return dataclasses.replace(TINY, **settings)


@pytest.mark.parametrize("guide", sorted(known_guides()))
def test_every_guide_stopped_inside_a_block_resumes_bit_for_bit(
    guide, store, tmp_path, monkeypatch
) -> None:
    if hasattr(load_guide(guide), "rate"):  # it climbs in every step: a little is enough
        monkeypatch.setattr(load_guide(guide), "steps", 2)
    config = config_of(guide)
    whole = trained(tmp_path / "whole", store, config)
    assert stopped(tmp_path / "parts", store, config, 12) == 13
    again = trained(tmp_path / "parts", store, config, resume=True)
    assert torch.equal(parameters(whole), parameters(again))


@pytest.mark.parametrize(
    "others",
    [
        {"handler": "exchange"},
        {"handler": "none"},
        {"start": "principal"},
        {"minibatches": 3},
        {"num_particles": 2},
        {"likelihood": "normal"},
    ],
    ids=str,
)
@pytest.mark.usefixtures("two_threads")
def test_every_way_of_training_resumes_bit_for_bit_however_often(others, store, tmp_path) -> None:
    config = config_of("mean_field", **others)
    whole = trained(tmp_path / "whole", store, config)
    steps = [stopped(tmp_path / "parts", store, config, 3)]
    steps += [stopped(tmp_path / "parts", store, config, n, resume=True) for n in (0, 6)]
    assert steps == [4, 5, 12]
    again = trained(tmp_path / "parts", store, config, resume=True)
    assert torch.equal(parameters(whole), parameters(again))


def test_the_record_of_a_resumed_run_has_every_step_once(store, tmp_path) -> None:
    config = config_of("mean_field")
    trained(tmp_path / "whole", store, config)
    stopped(tmp_path / "parts", store, config, 12)
    with (tmp_path / "parts" / METRICS).open("a") as file:  # of a process that was killed later
        file.write('{"step": 20, "seconds": 1.0, "train": {}, "test": {}}\n{"step": 2')
    trained(tmp_path / "parts", store, config, resume=True)
    lines = [json.loads(line) for line in (tmp_path / "parts" / METRICS).read_text().splitlines()]
    steps = [line["step"] for line in lines]
    assert steps == sorted(set(steps))
    assert steps[-1] == config.steps
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)
    whole = json.loads((tmp_path / "whole" / METRICS).read_text().splitlines()[-1])
    assert lines[-1]["test"] == whole["test"]


def test_settings_that_differ_from_the_checkpoints_are_refused_by_name(store, tmp_path) -> None:
    trained(tmp_path, store)
    config = dataclasses.replace(TINY, strength=2.0, handler="first", steps=60)
    with pytest.raises(
        InputError, match=r"handler 'mean', not 'first'; strength 0.01, not 2.0; put"
    ):
        Trainer(build(tmp_path, config, store.factors), store, resume=True)


def test_more_steps_may_be_asked_for(store, tmp_path) -> None:
    trained(tmp_path, store)
    trained(tmp_path, store, dataclasses.replace(TINY, steps=50), resume=True)
    assert (tmp_path / "checkpoints" / "step-000000050").is_dir()


def test_other_data_of_the_same_size_are_refused(store, tmp_path) -> None:
    from fake_scene import load

    from pyro_dcign.datasets.plans.recipe import Recipe

    trained(tmp_path / "run", store)
    recipe = dataclasses.replace(Recipe(**vars(recipe_of(store))), seed=7)
    other = make(tmp_path / "other", recipe, load, workers=1, quiet=True)
    with pytest.raises(InputError, match="was begun with other data"):
        Trainer(build(tmp_path / "run", TINY, store.factors), other, resume=True)


def recipe_of(store):
    from pyro_dcign.datasets.plans.recipe import Recipe, counts

    number = counts(store.types, train=4, intrinsic=8, test=2)
    return Recipe("fake", number, side=16, size=6)


def test_a_new_run_does_not_overwrite_a_folder_with_checkpoints(store, tmp_path) -> None:
    trained(tmp_path, store)
    with pytest.raises(InputError, match="is to be a new run, but has checkpoints"):
        trained(tmp_path, store)


@pytest.mark.gpu
@pytest.mark.parametrize("clamp", ["mean", "exchange"])
def test_captured_steps_resume_where_they_were_stopped(clamp, store, tmp_path) -> None:
    config = dataclasses.replace(
        TINY, device="cuda", handler=clamp, steps=400, checkpoint_every=200
    )
    whole = trained(tmp_path / "whole", store, config)
    trained(tmp_path / "parts", store, dataclasses.replace(config, steps=200))
    again = trained(tmp_path / "parts", store, config, resume=True)
    # cuDNN may choose other algorithms in the second process, and sum in another order.
    assert (parameters(whole) - parameters(again)).abs().max() < 200 * 5e-3 * 1e-2
