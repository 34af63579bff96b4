"""Laws of a step whose numbers are not finite: it is found, named and kept, and nothing is lost."""

import dataclasses

import pytest
import torch
from safetensors import safe_open
from tiny import TINY

from pyro_dcign.errors import InputError
from pyro_dcign.runs.checkpoint import newest_checkpoint
from pyro_dcign.runs.run import build
from pyro_dcign.training.resume import random_state
from pyro_dcign.training.train import Trainer
from pyro_dcign.training.trouble import Before, find_trouble


@pytest.fixture
def trainer(store, tmp_path):
    return Trainer(build(tmp_path, dataclasses.replace(TINY, handler="none"), store.factors), store)


class Blast:
    """Adds NaN to what a module returns, from the call on that comes after ``left`` others."""

    def __init__(self, module, left):
        self.left = left
        module.register_forward_hook(self)

    def __call__(self, module, arguments, output):
        self.left -= 1
        return output + float("nan") if self.left < 0 else output


def poison(parameter, rows):
    with torch.no_grad():
        parameter[rows] = float("nan")


@pytest.mark.parametrize(
    ("rows", "site"), [(0, "azimuth"), (2, "light"), (slice(3, None), "intrinsic")]
)
def test_the_first_site_that_is_not_finite_is_named(rows, site, trainer) -> None:
    poison(trainer.run.guide.loc.weight, rows)
    with pytest.raises(InputError, match=f"the draw of site {site} is to be finite, .* at step 1,"):
        list(trainer.records())


def test_a_scale_of_nothing_is_named_by_its_density(trainer) -> None:
    with torch.no_grad():  # q's scale underflows to 0: the draw is finite, its density is not
        trainer.run.guide.log_variance.weight[1] = 0
        trainer.run.guide.log_variance.bias[1] = -1000
    with pytest.raises(InputError, match="log q of site elevation is to be finite"):
        list(trainer.records())


def test_the_step_in_the_middle_of_a_block_is_found(trainer) -> None:
    steps = trainer.steps
    blast = Blast(trainer.run.model.decoder, 5)

    def again(draws):
        history = steps(draws)
        blast.left = 5  # the repetition meets it again
        return history

    trainer.steps = again
    with pytest.raises(InputError, match=r"log p of site image .* at step 6, on a minibatch of"):
        list(trainer.records())


def test_a_gradient_that_is_not_finite_is_named_though_its_loss_is(trainer) -> None:
    trainer.run.guide.loc.weight.register_hook(lambda g: g * float("inf"))
    with pytest.raises(InputError, match=r"the gradient of guide.loc.weight .* at step 1,"):
        list(trainer.records())


def test_the_offending_images_and_the_last_good_checkpoint_are_kept(trainer, store) -> None:
    poison(trainer.run.model.decoder.linear.bias, 0)
    folder = trainer.run.folder
    with pytest.raises(InputError, match="checkpoints/step-000000000"):
        list(trainer.records())
    assert newest_checkpoint(folder).name == "step-000000000"
    (kept,) = (folder / "trouble").iterdir()
    with safe_open(kept, "pt") as file:
        pixels, said = file.get_tensor("pixels"), file.metadata()
    assert said["step"] == "1"
    assert said["not_finite"] == "log p of site image"
    rows = trainer.feed.rows(said["varying"])
    assert (rows == pixels).flatten(1).all(1).any()


def test_a_block_is_taken_again_exactly(trainer) -> None:
    for _ in zip(range(2), trainer.records(), strict=False):
        pass
    before = Before(trainer.run.modules, trainer.svi, trainer.run.device)
    draws = trainer.feed.draw(7, 1)
    trainer.steps(draws)
    wanted = [p.detach().clone() for p in trainer.run.modules.parameters()]
    random = random_state(trainer.run.device)["cpu"]
    find_trouble(before, trainer.feed, draws)
    for parameter, other in zip(trainer.run.modules.parameters(), wanted, strict=True):
        assert torch.equal(parameter, other)
    assert torch.equal(random_state(trainer.run.device)["cpu"], random)
