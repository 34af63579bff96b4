"""ONNX: a run's guide and decoder as two files that any runtime reads without PyTorch."""

import contextlib
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pyro_dcign.errors import InputError
from pyro_dcign.explorer.traced import Reader, Renderer, refuse_other_than_normal
from pyro_dcign.files import content, digest, parse_json, whole
from pyro_dcign.images import intensities
from pyro_dcign.measures import open_calibration
from pyro_dcign.runs import PARAMETERS, Run, encode, undisturbed

READER, RENDERER = "reader.onnx", "renderer.onnx"
OPSET = 18
LICENCE = "Apache-2.0"
_NEEDS = ("onnx", "onnxscript")
_ANY_SIZE = 2**40


def describe(run: Run) -> dict[str, Any]:
    """What a reader of the two files has to know of the run, as JSON would hold it.

    Keys: ``side``, ``latents`` (first and past the last latent of each factor), ``factors``
    (ranges), ``calibration`` (curves), ``licence`` and ``parameters`` (the SHA-256 of the file);
    ``familiarity`` (quantiles of the reconstruction's mean squared error on test images) where the
    calibration holds them.
    """
    calibration = open_calibration(run)
    kept = parse_json(content(run.folder / "calibration.json", 2**20, remedy="remake it"))
    found = {
        "side": run.config.side,
        "latents": {name: [where.start, where.stop] for name, where in run.code.slices().items()},
        "factors": {name: vars(limits) for name, limits in run.factors.items()},
        "calibration": {name: vars(curve) for name, curve in calibration.curves.items()},
        "licence": LICENCE,
        "parameters": digest(run.folder / PARAMETERS),
    }
    if "familiarity" in kept:
        found["familiarity"] = kept["familiarity"]
    return found


def reader(run: Run) -> Any:
    """The guide as an ONNX model: ``picture`` to ``loc`` and ``scale``.

    Raises:
        InputError: A missing package, or a guide that is not normal given the picture.
    """
    _need_packages()
    refuse_other_than_normal(run)
    side, draw = run.config.side, torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (3, side, side), generator=draw).to(torch.uint8)
    pictures = intensities(pixels).to(run.device)
    module = Reader(run.guide, run.code)
    with undisturbed(run):
        try:
            model, program = _traced(module, pictures[:2], "picture", ["loc", "scale"])
            found, _ = program.module()(pictures)
        except Exception as error:  # the exporter raises what the guide's operators make it raise
            found = torch.full((3, run.code.latents), torch.nan)
            cause = " ".join(str(error.__cause__ or error).split())[:160]
        else:
            cause = "a reading that depends on the number of pictures"
    if not torch.allclose(found.cpu(), encode(run, pixels), rtol=0, atol=1e-3):
        raise InputError(
            f"an exported guide is to be a graph of ONNX operators, got of {run.config.guide} "
            f"{cause}; train a mean_field guide"
        )
    return model


def renderer(run: Run) -> Any:
    """The decoder as an ONNX model: ``code`` to the mean ``picture``, every kernel folded.

    Raises:
        InputError: A missing package.
    """
    _need_packages()
    codes = torch.zeros(2, run.code.latents, device=run.device)
    with undisturbed(run):
        return _traced(Renderer(run.model), codes, "code", ["picture"])[0]


def _need_packages() -> None:
    for name in _NEEDS:
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"ONNX needs the packages {' and '.join(_NEEDS)}, {name} is missing; "
                "pip install 'pyro-dcign[onnx]'"
            )


def _traced(
    module: nn.Module, example: torch.Tensor, name: str, outputs: list[str]
) -> tuple[Any, Any]:
    """The ONNX model, and PyTorch's own graph that it was made from."""
    from onnxscript import optimizer  # noqa: PLC0415

    with _quiet():
        program: Any = torch.onnx.export(
            module.eval(),
            (example,),
            input_names=[name],
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("images")},),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
        )
        # A folded 7×7 kernel is larger than what the exporter folds of its own accord.
        optimizer.optimize(program.model, input_size_limit=_ANY_SIZE, output_size_limit=_ANY_SIZE)
    return program.model_proto, program.exported_program


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")  # the exporter's remarks on PyTorch's own insides
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


def export_onnx(run: Run, folder: Path) -> tuple[Path, Path]:
    """Write ``reader.onnx`` and ``renderer.onnx``; both take any number of pictures or codes.

    The reader maps ``picture`` (n, 1, side, side), grey in [0, 1], to ``loc`` and ``scale``
    (n, latents) of the posterior. The renderer maps ``code`` (n, latents) to the mean ``picture``.
    Their metadata are what :func:`describe` returns, one JSON text for each key.

    Args:
        run: With trained networks and a calibration.
        folder: Made if it is missing.

    Raises:
        InputError: A missing package, or a guide that is not normal given the picture.
    """
    about = {key: json.dumps(value) for key, value in describe(run).items()}
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / READER, folder / RENDERER
    for path, model in zip(paths, (reader(run), renderer(run)), strict=True):
        _label(model, about)
        with whole(path) as temporary:
            temporary.write_bytes(model.SerializeToString())
    return paths


def _label(model: Any, about: Mapping[str, str]) -> None:
    for key, value in about.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
