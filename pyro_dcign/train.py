"""Training: the schedule's minibatches, one update after another, with a record of the losses."""

import json
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from pyro_dcign.checkpoint import random_state, restore, save_checkpoint, set_random_state
from pyro_dcign.datasets.schedule import Schedule, parse_ratio
from pyro_dcign.datasets.store import Store
from pyro_dcign.errors import InputError
from pyro_dcign.feed import Draws, Feed
from pyro_dcign.heap import kept_heap
from pyro_dcign.minibatch import Images, intensities
from pyro_dcign.processes import Processes
from pyro_dcign.run import Run, handler_of, precision_of
from pyro_dcign.start import start_at_mean, start_principal
from pyro_dcign.steps import CapturedSteps, History, PlainSteps, Steps
from pyro_dcign.svi import TypedSVI, adam, load_elbo

METRICS = "metrics.jsonl"
TEST_IMAGES = 400


@dataclass(frozen=True)
class Record:
    """What a block of steps did.

    Attributes:
        step: Steps taken so far.
        seconds: Spent on training so far, in this process.
        train: For each minibatch type met in the block, mean reconstruction and KL of an image.
        test: Reconstruction, KL and ELBO of a test image, unclamped; empty between evaluations.
    """

    step: int
    seconds: float
    train: dict[str, dict[str, float]]
    test: dict[str, float] = field(default_factory=dict)


def _by_type(draws: Draws, history: History, factors: tuple[str, ...]) -> dict[str, Any]:
    terms = history.movedim(1, -1).flatten(0, 1).cpu()
    types = draws.active.flatten(0, 1).cpu()
    found = {}
    for i, name in enumerate(factors):
        chosen = terms[types[:, i]]
        if len(chosen):
            reconstruction, kl = chosen.mean(0).tolist()
            found[name] = {"reconstruction": reconstruction, "kl": kl}
    return found


def held_out_images(store: Store) -> Images:
    """Images of test identities, spread evenly over the minibatch types."""
    each = []
    for varying in store.types:
        count = store.count("test", varying)
        wanted = min(count, max(1, TEST_IMAGES // (len(store.types) * store.size)))
        each += [store.minibatch("test", varying, i * count // wanted) for i in range(wanted)]
    if not each:
        raise InputError(f"{store.folder} needs test minibatches to evaluate on; make some")
    return intensities(torch.cat([minibatch.pixels for minibatch in each]))


def held_out_elbo(svi: TypedSVI, images: Images) -> dict[str, float]:
    """Mean ELBO of an image and its terms, unclamped, with draws of their own fixed seed."""
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        parts = [svi.evaluate(chunk) for chunk in images.split(100)]
    reconstruction, kl = (torch.cat(term).mean().item() for term in zip(*parts, strict=True))
    return {"reconstruction": reconstruction, "kl": kl, "elbo": -reconstruction - kl}


class Trainer:
    """Everything that a run needs to go on training.

    Args:
        run: Freshly built; its parameters are replaced when ``resume`` finds a checkpoint.
        store: Typed minibatches with the run's factors and side.
        resume: Go on from the newest sound checkpoint of the run directory.
        processes: Those that train together; each of them builds a trainer of the same run.

    Raises:
        InputError: Data of another side or with other factors than the run's.
    """

    def __init__(
        self,
        run: Run,
        store: Store,
        *,
        resume: bool = False,
        processes: Processes = Processes(),  # noqa: B008
    ) -> None:
        config, self.processes = run.config, processes
        portion = processes.portion(config.minibatches)
        if store.side != config.side:
            raise InputError(
                f"side is {config.side}, but the images in {store.folder} are "
                f"{store.side} pixels wide; use --side {store.side} or other data"
            )
        if tuple(store.factors) != tuple(run.factors):
            raise InputError(
                f"the run has the factors {', '.join(run.factors)}, but {store.folder} has "
                f"{', '.join(store.factors)}; use the data that the run began with"
            )
        self.run = run
        # A guide whose work differs between calls says that it cannot be captured.
        cuda = run.device.type == "cuda"
        captured = cuda and getattr(run.guide, "capturable", True)
        parameters = list(run.modules.parameters())
        self.optimizer = adam(parameters, learning_rate=config.learning_rate, capturable=cuda)
        self.svi = TypedSVI(
            run.model,
            run.guide,
            self.optimizer,
            elbo=load_elbo(config.elbo, num_particles=config.num_particles),
            handler=handler_of(config, run.code, run.guide),
            precision=precision_of(config, run.device),
            tf32=config.precision == "tf32",
            reduce=processes.sum_gradients if processes.count > 1 else None,
        )
        ratio = parse_ratio(config.ratio, run.code)
        self.schedule = Schedule(store.counts("train"), ratio, config.seed)
        self.feed = Feed(store, self.schedule, run.code, run.device)
        self.test = held_out_images(store).to(run.device)
        self.step = 0
        # Each process draws noise of its own; the first as if it were alone.
        torch.manual_seed(config.seed + 1_000_003 * processes.rank)
        if resume and (found := restore(run, self.optimizer)):
            state, random = found
            self.step = state["step"]
            self.schedule.load_state_dict(state["schedule"])
            if own := processes.own_random(random):
                set_random_state(own, run.device)
        elif config.start == "principal":
            start_at_mean(run, self.feed)
            start_principal(run, self.feed)
        processes.same(run.modules.state_dict().values())
        self.block = 200 if cuda else 10
        self.steps: Steps = (
            CapturedSteps(self.svi, self.feed, block=self.block, minibatches=portion)
            if captured
            else PlainSteps(self.svi, self.feed)
        )

    def save(self) -> None:
        """Write a checkpoint of this step."""
        state = {"step": self.step, "schedule": self.schedule.state_dict()}
        random = self.processes.random(random_state(self.run.device))
        if self.processes.first:
            save_checkpoint(self.run, self.optimizer, state, random=random)

    def _records(self) -> Iterator[Record]:
        config, start = self.run.config, time.perf_counter()
        while self.step < config.steps:
            edges = [
                config.steps,
                *(
                    (self.step // every + 1) * every
                    for every in (config.evaluate_every, config.checkpoint_every)
                ),
            ]
            # The rate is a block's, so while it rises blocks are short.
            block = self.block if self.step >= config.warmup else min(self.block, 10)
            draws = self.feed.draw(min(*edges, self.step + block) - self.step, config.minibatches)
            self._set_learning_rate()
            history = self.processes.gather(self.steps(self.processes.share(draws)))
            self.step += len(history)
            train = _by_type(draws, history, self.run.code.factors)
            self._refuse_nan(train)
            due = self.step % config.evaluate_every == 0 or self.step == config.steps
            due = due and self.processes.first
            test = held_out_elbo(self.svi, self.test) if due else {}
            if self.step % config.checkpoint_every == 0 or self.step == config.steps:
                self.save()
            yield Record(self.step, time.perf_counter() - start, train, test)

    def _set_learning_rate(self) -> None:
        config = self.run.config
        left = (config.steps - self.step) / config.steps
        rate = config.learning_rate * (min(1.0, left / config.decay) if config.decay else 1.0)
        if self.step < config.warmup:
            rate *= (self.step + 1) / config.warmup
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _refuse_nan(self, train: dict[str, dict[str, float]]) -> None:
        for varying, terms in train.items():
            for term, value in terms.items():
                if not torch.isfinite(torch.tensor(value)):
                    raise InputError(
                        f"the {term} of {varying} minibatches is to be finite, got {value} by step "
                        f"{self.step}; lower --learning-rate or use --precision float32"
                    )

    def records(self) -> Iterator[Record]:
        """Train to the configured step, writing ``metrics.jsonl``; one record a block."""
        cpu = self.run.device.type == "cpu"
        with (
            kept_heap() if cpu else nullcontext(),
            (self.run.folder / METRICS).open("a", encoding="utf-8") as file,
        ):
            for record in self._records():
                if self.processes.first:
                    file.write(json.dumps(vars(record)) + "\n")
                    file.flush()
                yield record
