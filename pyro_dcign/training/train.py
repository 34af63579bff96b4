"""Training: the schedule's minibatches, one update after another, with a record of the losses."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch

from pyro_dcign.datasets import Store
from pyro_dcign.errors import InputError
from pyro_dcign.files import locked
from pyro_dcign.machine import kept_heap, timed_convolutions
from pyro_dcign.runs import Run, newest_checkpoint, save_checkpoint, tidy
from pyro_dcign.training.feed import Draws, Feed, cuts_of
from pyro_dcign.training.processes import Processes
from pyro_dcign.training.record import (
    Record,
    append,
    by_type,
    forget_later,
    held_out_elbo,
    held_out_images,
)
from pyro_dcign.training.resume import random_state, restore, set_random_state
from pyro_dcign.training.schedule import Schedule, parse_ratio
from pyro_dcign.training.signals import Signals
from pyro_dcign.training.start import labels_of, start_at_mean, start_labelled, start_principal
from pyro_dcign.training.steps import CapturedSteps, PlainSteps, Steps
from pyro_dcign.training.svi import typed_svi
from pyro_dcign.training.trouble import Before, find_trouble, is_sound, keep_minibatches


class Trainer:
    """Everything that a run needs to go on training.

    Args:
        run: Freshly built; its parameters are replaced when ``resume`` finds a checkpoint.
        store: Typed minibatches with the run's factors and side.
        resume: Go on from the newest sound checkpoint of the run directory.
        processes: Those that train together; each of them builds a trainer of the same run.
        signals: Asked after every step whether to stop; nobody does by default.
        held: Whether the caller has locked the run directory, as ``fit`` does.

    Raises:
        InputError: Data of another side or with other factors than the run's; a directory with
            checkpoints that is not to be resumed, or one that cannot be.
    """

    def __init__(
        self,
        run: Run,
        store: Store,
        *,
        resume: bool = False,
        processes: Processes = Processes(),  # noqa: B008
        signals: Signals | None = None,
        held: bool = False,
    ) -> None:
        config, self.processes = run.config, processes
        self.signals, self.held = signals or Signals(), held
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
        if not resume and newest_checkpoint(run.folder):
            raise InputError(
                f"{run.folder} is to be a new run, but has checkpoints; resume it, or use another"
            )
        self.run = run
        self.data = hashlib.sha256(store.manifest.to_json().encode()).hexdigest()
        # A guide whose work differs between calls says that it cannot be captured.
        cuda = run.device.type == "cuda"
        captured = cuda and getattr(run.guide, "capturable", True)
        reduce = processes.sum_gradients if processes.count > 1 else None
        self.svi = typed_svi(run, reduce=reduce)
        self.optimizer = self.svi.optimizer
        ratio = parse_ratio(config.ratio, run.code)
        cuts = cuts_of(store, config.minibatch_size)
        counts = {varying: cuts * n for varying, n in store.counts("train").items()}
        self.schedule = Schedule(counts, ratio, config.seed)
        self.feed = Feed(store, self.schedule, run.code, run.device, cuts=cuts)
        if config.labels:
            labels = labels_of(store.values("train"), run.factors, run.code)
            self.feed.labels = labels.to(run.device)
        self.test = held_out_images(store).to(run.device)
        self.step, self.seconds = 0, 0.0
        # Each process draws noise of its own; the first as if it were alone.
        torch.manual_seed(config.seed + 1_000_003 * processes.rank)
        if resume and (found := restore(run, self.optimizer)):
            self._go_on(*found)
        elif config.start != "random":
            start_at_mean(run, self.feed)
            with timed_convolutions():
                if config.start == "labelled":
                    start_labelled(run, self.feed, store.values("train"))
                else:
                    start_principal(run, self.feed)
        processes.same(run.modules.state_dict().values())
        self.block = 200 if cuda else 10
        self.steps: Steps = (
            CapturedSteps(self.svi, self.feed, block=self.block, minibatches=portion)
            if captured
            # Several processes stop at the same step: between blocks, when all have agreed.
            else PlainSteps(self.svi, self.feed, None if processes.count > 1 else self._asked)
        )

    def _go_on(self, state: dict[str, Any], random: dict[str, torch.Tensor]) -> None:
        if state.get("data") != self.data:
            raise InputError(
                f"{self.run.folder} was begun with other data than {self.run.config.data}; "
                "name those that it began with by --data"
            )
        self.step, self.seconds = state["step"], float(state["seconds"])
        self.schedule.load_state_dict(state["schedule"])
        if own := self.processes.own_random(random):
            try:
                set_random_state(own, self.run.device)
            except (RuntimeError, TypeError, KeyError) as error:
                raise InputError(
                    f"{self.run.folder} is to keep generators in a checkpoint: {error}; restore it"
                ) from None

    def save(self, elbo: float | None = None) -> None:
        """Write a checkpoint of this step, with its test ELBO where that was measured."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "elbo": elbo,
            "data": self.data,
            "schedule": self.schedule.state_dict(),
        }
        random = self.processes.random(random_state(self.run.device))
        if self.processes.first:
            with self.signals.held():
                save_checkpoint(self.run, self.optimizer, state, random=random)

    def _asked(self) -> bool:
        return self.signals.heard is not None

    def _records(self) -> Iterator[Record]:
        config, start = self.run.config, time.perf_counter() - self.seconds
        if self.step == 0:
            self.save()
        while self.step < config.steps:
            if self.processes.any(self._asked(), self.run.device):
                self.save()
                return
            train = self._block()
            self.seconds = time.perf_counter() - start
            saving = self.step % config.checkpoint_every == 0 or self.step == config.steps
            due = (saving or self.step % config.evaluate_every == 0) and self.processes.first
            test = held_out_elbo(self.svi, self.test) if due else {}
            if saving:
                self.save(test.get("elbo"))
            yield Record(self.step, self.seconds, train, test)

    def _block(self) -> dict[str, dict[str, float]]:
        """Take steps up to the next one at which there is something to do; losses by type."""
        config = self.run.config
        every = (config.evaluate_every, config.checkpoint_every)
        edges = [config.steps, *((self.step // n + 1) * n for n in (*every, self._pace()))]
        before = Before(self.run.modules, self.svi, self.run.device)
        drawn = self.schedule.state_dict()
        draws = self.feed.draw(min(edges) - self.step, config.minibatches)
        self._set_learning_rate()
        history = self.processes.gather(self.steps(self.processes.share(draws)))
        if not is_sound(self.run.modules, history):
            raise self._trouble(before, draws)
        taken = len(history)
        if taken < len(draws.rows):  # asked to stop: the minibatches left over are drawn again
            self.schedule.load_state_dict(drawn)
            draws = self.feed.draw(taken, config.minibatches)
        self.step += taken
        return by_type(draws, history, self.run.code)

    def _trouble(self, before: Before, draws: Draws) -> InputError:
        """Say which step went wrong and where, and keep what it was fed."""
        found = find_trouble(before, self.feed, self.processes.share(draws))
        # The process that met it names a site; to the others it came as a gradient.
        what = max(self.processes.objects(found.what), key=lambda said: "site" in said)
        step, rows = self.step + found.step + 1, draws.rows[found.step]
        types = [self.run.code.varying(active) for active in draws.active[found.step]]
        varying = ", ".join(dict.fromkeys(types))
        kept = ""
        if self.processes.first:
            said = {"step": str(step), "varying": varying, "not_finite": what}
            path = keep_minibatches(self.run.folder, step, self.feed.chosen(rows), said)
            kept = f"; its images are in {path}"
        last = newest_checkpoint(self.run.folder)
        return InputError(
            f"{what} is to be finite, but is not at step {step}, on a minibatch of {varying}"
            f"{kept}, and the parameters before in {last}; begin anew with a lower "
            "--learning-rate or with --precision float32"
        )

    def _pace(self) -> int:
        """Most steps of a block. It has one learning rate, so blocks are short while that rises."""
        return self.block if self.step >= self.run.config.warmup else min(self.block, 10)

    def _set_learning_rate(self) -> None:
        """Set the rate of this block; wherever a run was stopped, the same steps have the same."""
        config, pace = self.run.config, self._pace()
        step = self.step // pace * pace
        left = (config.steps - step) / config.steps
        rate = config.learning_rate * (min(1.0, left / config.decay) if config.decay else 1.0)
        if step < config.warmup:
            rate *= (step + 1) / config.warmup
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def records(self) -> Iterator[Record]:
        """Train to the configured step, writing ``metrics.jsonl``; one record a block.

        When a signal asks to stop, a checkpoint of that step is written and the records end.

        Raises:
            InputError: The run directory is another's, or a step's numbers are not finite.
        """
        folder, first = self.run.folder, self.processes.first
        cpu = self.run.device.type == "cpu"
        with (
            nullcontext() if self.held or not first else locked(folder),
            kept_heap() if cpu else nullcontext(),
        ):
            if first:
                tidy(folder)
                forget_later(folder, self.step)
            try:
                for record in self._records():
                    if first:
                        append(folder, record)
                    yield record
            finally:
                if isinstance(self.steps, CapturedSteps):
                    self.steps.release()
