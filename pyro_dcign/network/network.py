"""The object that a user holds: a network with its data, its calibration and its history."""

import dataclasses
import math
import shutil
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save
from tqdm import tqdm

from pyro_dcign import posterior
from pyro_dcign.code import INTRINSIC, FactorRange, Latents
from pyro_dcign.config import Config, configure
from pyro_dcign.datasets import EvaluationSet, Store, evaluation_set, read_npz
from pyro_dcign.errors import InputError
from pyro_dcign.files import write_whole
from pyro_dcign.images import Pixels, intensities, pixels_of
from pyro_dcign.measures import (
    PEOPLE,
    Calibration,
    evaluate,
    open_calibration,
    open_people,
    read_metrics,
    sweep,
    sweep_values,
)
from pyro_dcign.network.callbacks import Callback, row_of
from pyro_dcign.network.codes import Code
from pyro_dcign.network.loading import check_guide, check_sites, name_of, opened
from pyro_dcign.network.pictures import Pictures, Sweep
from pyro_dcign.network.results import Check, Evaluation
from pyro_dcign.network.typed_images import TypedImages, scratch
from pyro_dcign.runs import (
    CALIBRATION,
    CONFIG,
    FOLDER,
    PARAMETERS,
    Run,
    build,
    decode,
    newest_checkpoint,
    own_store,
    write_run_config,
)
from pyro_dcign.training import METRICS, Trainer


@final
class DCIGN:
    """A deep convolutional inverse graphics network: model, guide, and what they were trained on.

    Args:
        data: Labelled pictures, or a folder of typed minibatches.
        preset: small, large, paper or torch7: where the settings start from.
        guide: Name of a guide, or a class of your own (``GuideClass(encoder, code)``).
        seed: Of the parameters, the schedule and the draws.
        settings: Others of :class:`pyro_dcign.config.Config`, e.g. ``steps=2000``.

    Raises:
        InputError: Settings, a guide or data that do not fit, in one line.

    Example:
        >>> import numpy as np, pyro_dcign as dcign
        >>> who, turn = (grid.ravel() for grid in np.meshgrid(range(6), [0.0, 30, 60]))
        >>> x = np.random.default_rng(0).random((18, 16, 16))
        >>> data = dcign.TypedImages.from_arrays(x, identity=who, azimuth=turn, size=4)
        >>> tiny = dict(side=16, network="paper", encoder_kernel=3, encoder_maps=(4, 4), latents=4,
        ...             decoder_maps=(4, 4, 1), decoder_kernels=(3, 5), minibatches=2, device="cpu")
        >>> net = dcign.DCIGN(data, preset="small", seed=0, steps=4, **tiny)
        >>> net.fit()
        DCIGN(azimuth, intrinsic; 4 latents, 16 × 16, guide mean_field, 4 steps)
        >>> net.history.index.tolist()
        [4]
    """

    def __init__(
        self,
        data: TypedImages | Store | Path | str,
        *,
        preset: str = "small",
        guide: Any = None,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        named = {"guide": guide} if isinstance(guide, str) else {}
        config = configure({"preset": preset, "seed": seed, **named, **settings}, source="DCIGN()")
        own = None if guide is None or isinstance(guide, str) else guide
        if own is not None:
            check_guide(own)
            config = dataclasses.replace(config, guide=name_of(own))
        images = (data if isinstance(data, TypedImages) else TypedImages(data)).at(config.side)
        config = dataclasses.replace(config, data=str(images.store.folder))
        try:
            run = build(scratch(self), config, images.store.factors, guide=own)
        except TypeError as error:  # a guide of another signature
            raise InputError(
                f"guide {config.guide} is to be built as GuideClass(encoder, code), but: {error}; "
                "mend it"
            ) from error
        check_sites(run)
        self._begin(run, images)

    def _begin(self, run: Run, data: TypedImages | None) -> None:
        self.run = run
        """What the parts of the package work on: model, guide, graphics code, settings, folder."""
        self._data = data
        self.step = 0
        """Steps taken."""
        self._calibration: Calibration | None = None

    @classmethod
    def _of(cls, run: Run) -> "DCIGN":
        net = object.__new__(cls)
        net._begin(run, None)
        taken = [int(path.name[5:]) for path in (run.folder / FOLDER).glob("step-*")]
        net.step = max(taken, default=run.config.steps)
        return net

    # --- what it is ------------------------------------------------------------------------------

    @property
    def data(self) -> TypedImages | None:
        """Typed minibatches to train on; None where the run's own are not here."""
        if self._data is None and self.config.data and Path(self.config.data).is_dir():
            self._data = TypedImages(self.config.data)
        return self._data

    @property
    def config(self) -> Config:
        """The settings."""
        return self.run.config

    @property
    def factors(self) -> Mapping[str, FactorRange]:
        """Range of each extrinsic factor in the data, in its own unit."""
        return self.run.factors

    @property
    def latents(self) -> int:
        """Length of the graphics code."""
        return self.run.code.latents

    @property
    def calibration(self) -> Calibration:
        """How each factor's latents run with its value; made from the training images if need be.

        Raises:
            InputError: Neither a calibration nor labelled training data.
        """
        if self._calibration is None:
            self._calibration = open_calibration(self.run)
        return self._calibration

    @property
    def history(self) -> pd.DataFrame:
        """Losses by step: of training minibatches by type, and of test images, in nats an image."""
        path = self.run.folder / METRICS
        records = read_metrics(path) if path.is_file() else []
        frame = pd.json_normalize(records, sep="/") if records else pd.DataFrame({"step": []})
        return frame.set_index("step")

    def __repr__(self) -> str:
        config = self.config
        return (
            f"DCIGN({', '.join(self.run.code.factors)}; {self.latents} latents, {config.side} × "
            f"{config.side}, guide {config.guide}, {self.step} steps)"
        )

    # --- pictures and codes ----------------------------------------------------------------------

    def pixels(self, pictures: Any) -> Pixels:
        """Pictures as this network sees them: see :func:`pyro_dcign.images.pixels_of`."""
        given = pictures.images if isinstance(pictures, Pictures) else pictures
        return pixels_of(given, self.config.side)

    def encode(self, pictures: Any) -> Code:
        """The codes of pictures: a path, PIL image, NumPy array or torch tensor, one or many.

        Raises:
            InputError: No picture, of another kind, or of values outside [0, 1].
        """
        return Code(self, self.pixels(pictures))

    def decode(self, code: Code | Latents) -> Pictures:
        """The pictures that codes render to; of a :class:`Code`, those of its means.

        Raises:
            InputError: Codes of another length, or without an image axis.
        """
        latents = code.mean if isinstance(code, Code) else torch.as_tensor(code).float().cpu()
        if latents.ndim != 2 or latents.shape[1] != self.latents:
            raise InputError(
                f"codes are to be (images, {self.latents}), got {tuple(latents.shape)}; give those "
                "of this network"
            )
        return Pictures(decode(self.run, latents), latents)

    def edit(self, pictures: Any, **values: Any) -> Pictures:
        """Pictures under other values of some factors, all else kept.

        Args:
            pictures: Or a :class:`Code`.
            values: Of each factor, in its own unit: one, or one for each picture.

        Raises:
            InputError: A factor that the network does not have, or a value outside its range.
        """
        code = pictures if isinstance(pictures, Code) else self.encode(pictures)
        return self.decode(self._set(code.mean, values))

    def _set(self, latents: Latents, values: Mapping[str, Any]) -> Latents:
        for name, given in values.items():
            wanted = inside(name, np.atleast_1d(given), self._range(name))
            if len(wanted) not in (1, len(latents)):
                raise InputError(
                    f"{name} is to have one value, or one for each of {len(latents)} pictures, got "
                    f"{len(wanted)}; mend it"
                )
            each = wanted if len(wanted) == len(latents) else wanted * len(latents)
            latents = self.calibration.edit(latents, name, each)
        return latents

    def _range(self, factor: str) -> FactorRange:
        if factor not in self.factors:
            raise InputError(
                f"factors are {', '.join(self.factors) or '(none)'}, got {factor!r}; use one of "
                "the network's"
            )
        return self.factors[factor]

    def sweep(self, picture: Any, **values: Any) -> Sweep:
        """One picture with each factor moved through some values, the others kept.

        Args:
            picture: One picture.
            values: Of each factor, in its own unit; by default every factor from end to end.

        Raises:
            InputError: Several pictures, or factors and values as in :meth:`edit`.
        """
        pixels = self.pixels(picture)
        if len(pixels) != 1:
            raise InputError(f"a sweep starts from one picture, got {len(pixels)}; give one")
        chosen = {n: inside(n, given, self._range(n)) for n, given in values.items()}
        chosen = chosen or {n: sweep_values(self.factors[n]) for n in self.calibration.curves}
        if not chosen:
            raise InputError(f"{self!r} has no calibrated factor; fit on labelled data")
        views = {
            name: (each, sweep(self.run, self.calibration, pixels[0], name, torch.tensor(each)))
            for name, each in chosen.items()
        }
        decoded = self.decode(self.encode(picture)).images
        return Sweep(intensities(pixels), decoded, views, self.factors)

    def sample(
        self,
        count: int = 1,
        *,
        prior: str = "aggregate",
        seed: int = 0,
        **values: Any,
    ) -> Pictures:
        """New people.

        Args:
            count: How many.
            prior: "aggregate": intrinsic latents from a normal with the moments of the training
                images' codes, each factor anywhere in its range. "model": every latent from the
                model's prior.
            seed: Of the draws.
            values: Of factors that are to have one, or one for each.

        Raises:
            InputError: Nothing to take the moments from, or values as in :meth:`edit`.
        """
        if count < 1 or prior not in ("aggregate", "model"):
            raise InputError(
                f'sample() takes 1 or more and prior="aggregate" or "model", got {count} and '
                f"{prior!r}; mend it"
            )
        generator = torch.Generator().manual_seed(seed)
        latents = torch.randn(count, self.latents, generator=generator)
        if prior == "aggregate":
            people = open_people(self.run).draw(count, generator)
            latents[:, self.run.code.slices()[INTRINSIC]] = people
            for name in self.calibration.curves:
                limits = self.factors[name]
                anywhere = torch.rand(count, generator=generator, dtype=torch.float64)
                drawn = limits.low + (limits.high - limits.low) * anywhere
                latents = self.calibration.edit(latents, name, drawn)
        return self.decode(self._set(latents, values))

    def posterior(self, pictures: Any, *, draws: int = 1000, chains: int = 4, seed: int = 0) -> Any:
        """Draws from the guide as ArviZ data: each site, and ``<factor>_value`` in its own unit.

        Args:
            pictures: One or many; ``image`` is a dimension.
            draws: Of each chain. The chains are independent, and so are the draws in them.
            chains: How many.
            seed: Of the draws.

        Returns:
            An ``InferenceData`` (ArviZ 0.23) or ``DataTree`` (1.x), for ``az.summary`` and others.

        Raises:
            InputError: No picture, or fewer than one draw or chain.
        """
        if min(draws, chains) < 1:
            raise InputError(f"draws and chains are 1 or more, got {draws} and {chains}; mend it")
        codes = self.encode(pictures).sample(draws * chains, seed=seed)
        calibration = self.calibration
        values = {
            f"{name}_value": torch.stack(
                [calibration.factor_values(name, codes[:, i]) for i in range(codes.shape[1])], -1
            )
            .unflatten(0, (chains, draws))
            .numpy()
            for name in calibration.curves
        }
        return posterior.drawn_data(self.run, codes.unflatten(0, (chains, draws)), values)

    # --- training --------------------------------------------------------------------------------

    def fit(
        self,
        *,
        steps: int | None = None,
        callbacks: Iterable[Callback] = (),
        folder: Path | str | None = None,
        progress: bool | None = None,
    ) -> "DCIGN":
        """Train to the configured number of steps, or go on to ``steps``.

        Your random generators are left as they were. ``history`` is kept in any case; callbacks
        are called as ``callback(net, row)`` between blocks of steps, see
        :mod:`pyro_dcign.network.callbacks`.

        Args:
            steps: Steps in all, in place of the setting.
            callbacks: CSV, TensorBoard, WandB or functions; one that returns True ends the fit.
            folder: A new folder for checkpoints and metrics; by default they go with this object.
            progress: Whether to show a bar; by default on a terminal and in a notebook.

        Returns:
            This network.

        Raises:
            InputError: No data, a folder in use, nothing left to train, or a step that diverged.
        """
        if self.data is None:
            raise InputError(
                "fit() needs typed minibatches, but this network's are not here; "
                "make one with DCIGN(data, …)"
            )
        resume = newest_checkpoint(self.run.folder) is not None
        if not resume and self.step:
            raise InputError(
                f"{self.run.folder} has parameters only, without an optimiser to go on with; "
                "make a new network"
            )
        run = self.run
        if folder is not None and Path(folder).resolve() != run.folder.resolve():
            run = dataclasses.replace(run, folder=_vacant(Path(folder), resume))
        if steps is not None:
            config = configure({**dataclasses.asdict(run.config), "steps": steps}, source="fit()")
            run = dataclasses.replace(run, config=config)
        if self.step >= run.config.steps:
            raise InputError(
                f"{self.step} steps are taken already; go on with fit(steps=…) of more than that"
            )
        write_run_config(run)
        self.run, self._calibration = run, None
        for derived in (CALIBRATION, PEOPLE):  # of the parameters before
            (run.folder / derived).unlink(missing_ok=True)
        self._train(resume, list(callbacks), progress)
        return self

    def _train(self, resume: bool, callbacks: list[Callback], progress: bool | None) -> None:
        run, data = self.run, self.data
        assert data is not None
        shown = (
            progress
            if progress is not None
            else (sys.stderr.isatty() or "ipykernel" in sys.modules)
        )
        devices = [run.device] if run.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            trainer = Trainer(run, data.store, resume=resume)
            with tqdm(
                total=run.config.steps, initial=trainer.step, unit=" steps", disable=not shown
            ) as bar:
                for record in trainer.records():
                    self.step = record.step
                    bar.update(record.step - bar.n)
                    row = row_of(record)
                    asked = [callback(self, row) for callback in callbacks]
                    if True in asked:
                        trainer.save()
                        break

    def save(self, folder: Path | str) -> Path:
        """Write settings, parameters, calibration and history, which :func:`load` reads.

        Of a guide that is a class of your own, its MODULE:CLASS is written; load it again with
        ``guide=``. Minibatches that only this object holds are not saved.

        Raises:
            InputError: A folder that holds something else.
        """
        folder = Path(folder)
        derived = [CALIBRATION, PEOPLE]
        if folder.resolve() != self.run.folder.resolve():
            if (folder / FOLDER).exists() or (
                folder.exists() and any(folder.iterdir()) and not (folder / CONFIG).is_file()
            ):
                raise InputError(
                    f"{folder} is to be new or a saved network, but holds other things; use another"
                )
            data = "" if self.data is None or self.data.temporary else self.config.data
            steps = max(1, self.step)
            config = dataclasses.replace(self.config, data=data, steps=steps)
            write_run_config(dataclasses.replace(self.run, folder=folder, config=config))
            state = {k: v.cpu().contiguous() for k, v in self.run.modules.state_dict().items()}
            write_whole(folder / PARAMETERS, save(state))
            derived.append(METRICS)
        if self.data is not None and self.data.store.manifest.labelled:
            _ = self.calibration, open_people(self.run)  # made now, while the data are here
        for name in derived:
            if (self.run.folder / name).is_file() and folder.resolve() != self.run.folder.resolve():
                shutil.copyfile(self.run.folder / name, folder / name)
        return folder

    def export_onnx(self, folder: Path | str) -> tuple[Path, Path]:
        """Write ``reader.onnx`` (picture to location and scale) and ``renderer.onnx``.

        Needs the extra ``pyro-dcign[onnx]``; see :mod:`pyro_dcign.explorer`.

        Raises:
            InputError: A guide that is not normal given the picture, or the extra is missing.
        """
        from pyro_dcign.explorer import export_onnx  # noqa: PLC0415

        return export_onnx(self.run, Path(folder))

    def explore(self, page: Path | str) -> Path:
        """Write one HTML page with knobs that needs no server and no network.

        Raises:
            InputError: As :meth:`export_onnx`.
        """
        from pyro_dcign.explorer import write_page  # noqa: PLC0415

        write_page(self.run, Path(page))
        return Path(page)

    # --- measures --------------------------------------------------------------------------------

    def evaluate(self, data: Any = None, *, seed: int = 0) -> Evaluation:
        """How well it reconstructs, disentangles and edits, with intervals.

        Args:
            data: Images of identities never trained on: a set (``data.test``), typed images, or the
                path of a folder or FILE.npz; by default the test split of its own data.
            seed: Of the choice of images and of the draws.

        Raises:
            InputError: No images, or no calibration.
        """
        return Evaluation(evaluate(self.run, self.test_images(data), self.calibration, seed=seed))

    def check(
        self, data: Any = None, *, seed: int = 0, progress: bool = False, **effort: int
    ) -> Check:
        """Whether the posterior is right: a verdict on each question.

        Args:
            data: As for :meth:`evaluate`.
            seed: Of every draw.
            progress: Whether to say on stderr what is being done.
            effort: How much to look at: fields of :class:`pyro_dcign.posterior.Effort`, e.g.
                ``reference=0`` to leave NUTS out.

        Raises:
            InputError: No images, or an unknown field.
        """
        known = {field.name for field in dataclasses.fields(posterior.Effort)}
        if unknown := sorted(set(effort) - known):
            raise InputError(f"check() takes {', '.join(sorted(known))}, got {unknown[0]}; mend it")

        def say(text: str) -> None:
            if progress:
                print(text, file=sys.stderr)  # noqa: T201

        images = self.test_images(data)
        looked_at = posterior.Effort(**effort)
        read = {}
        try:
            calibration = self.calibration
            read = {name: partial(calibration.factor_values, name) for name in calibration.curves}
        except InputError as error:
            say(f"true values are not held against intervals: {error}")
        found = posterior.measure(self.run, images, effort=looked_at, read=read, seed=seed, say=say)
        return Check(found, posterior.judge(found))

    def test_images(self, data: Any = None) -> EvaluationSet:
        """Labelled images to measure on: see :meth:`evaluate`.

        Raises:
            InputError: None is named, and the network's own data are not here.
        """
        if isinstance(data, EvaluationSet):
            return data
        if isinstance(data, TypedImages):
            return data.test
        if data is not None:
            path = Path(data)
            return read_npz(path) if path.is_file() else evaluation_set(Store.open(path))
        own_store(self.run)  # refuses other data in the place of the run's
        if self.data is None:
            raise InputError(
                f"{self.run.folder} was trained on {self.config.data or 'data of its own'!r}, "
                "which is not here; name a folder or FILE.npz with --data"
            )
        return self.data.test


def inside(factor: str, values: Any, limits: FactorRange) -> list[float]:
    """Values of a factor as a list, all of which it was trained on.

    Raises:
        InputError: None, values that are no finite numbers, or one outside the factor's range.
    """
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError):
        found = [math.nan]
    if not found or not all(math.isfinite(value) for value in found):
        raise InputError(f"{factor} is to be 1 or more finite numbers, got {values!r}; mend it")
    outside = [v for v in found if not limits.holds(v)]
    if outside:
        raise InputError(
            f"{factor} was trained from {limits.low:g} to {limits.high:g}, got {outside[0]:g}; "
            "stay inside"
        )
    return found


def _vacant(folder: Path, begun: bool) -> Path:
    if begun or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        why = "this network was begun in another" if begun else "it is in use"
        raise InputError(
            f"{folder} is to be the new folder of a fit, but {why}; leave it out or name another"
        )
    return folder


def load(
    name: Path | str,
    *,
    guide: Any = None,
    device: str | None = None,
    trusted: tuple[str, ...] = (),
    checkpoint: str = "last",
) -> DCIGN:
    """A trained network: of a shipped one's name ("faces"), or from a run's folder.

    Args:
        name: "faces", or a folder that ``fit`` or :meth:`DCIGN.save` wrote.
        guide: The guide's class, where it is one of your own; or a name: another way of inference
            with the same parameters ("laplace"), or the run's own FILE.py:CLASS or MODULE:CLASS,
            which is code and loaded only when it is named here.
        device: auto, cpu or cuda; by default the run's, or a CPU where there is no GPU.
        trusted: Further such names that may be loaded.
        checkpoint: "last", or "best" by its test ELBO.

    Raises:
        InputError: No such network, or a damaged one.

    Example:
        >>> import pyro_dcign as dcign
        >>> net = dcign.load("faces", device="cpu")
        >>> picture = net.sample(1, prior="model")
        >>> net.edit(picture, azimuth=30, light=-45)
        Pictures(1 of 64 × 64)
    """
    return DCIGN._of(
        opened(name, guide=guide, device=device, trusted=trusted, checkpoint=checkpoint)
    )
