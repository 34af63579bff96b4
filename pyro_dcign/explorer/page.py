"""One HTML file in which a network can be turned by hand, without a server and without a network.

ONNX Runtime's WebAssembly and its module lie in ``vendor/`` as npm's ``onnxruntime-web`` 1.23.0 has
them, the first one gzipped. They are committed and not fetched when the package is built: an
installation from a clone needs no npm and no network, and the file that runs is the file that was
tested. To take another release: ``npm pack onnxruntime-web@VERSION``, ``gzip -9 -n`` its
``dist/ort-wasm-simd-threaded.wasm``, copy its ``dist/ort.wasm.bundle.min.mjs``, and write their
digests into :data:`VENDORED`.
"""

import base64
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from pyro_dcign.explorer.export import describe, reader, renderer
from pyro_dcign.files import opened, write_whole
from pyro_dcign.runs import Run
from pyro_dcign.scenes import load_scene

HERE = Path(__file__).parent
MODULE, RUNTIME = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm.gz"
VENDORED = {
    MODULE: "9bfe69fdc86a6ce7aacaccfada8d3124237328efd61eac0e594832488ef3457d",
    RUNTIME: "a9649898c7caedbca0b9b9e2dd5732b16a31b8c05858772b5dc47145f18ac3d1",
}
"""SHA-256 of the files of ``onnxruntime-web`` 1.23.0 that the package holds.

npm's integrity of the release is
``sha512-w0bvC2RwDxphOUFF8jFGZ/dYw+duaX20jM6V4BIZJPCfK4QuCpB/pVREV+hjYbT3x4hyfa2ZbTaWx4e1Vot0fQ==``.
"""

HEADS, FIRST_HEAD = 12, 2**30 + 2**19
"""How many heads are built in, and the first one's number: among those kept for tests."""

KNOWS_HEADS = {"azimuth", "elevation", "light"}
_MANY = 1024
_TILE = 150


def write_page(run: Run, path: Path, *, pictures: Sequence[Path] = ()) -> None:
    """Write the explorer of a run as one HTML file.

    Weights are kept in 16 bits and widened when the page opens; all arithmetic is in 32.

    Args:
        run: With trained networks and a calibration.
        path: The file to write.
        pictures: Those offered in the page. Without any, a network of heads gets twelve heads.

    Raises:
        InputError: As for :func:`export_onnx`; also a picture that cannot be read.
    """
    networks = [_packed(halved(model)) for model in (reader(run), renderer(run))]
    fields = {
        "licence": escape((HERE / "vendor" / "LICENSE-onnxruntime").read_text(encoding="utf-8")),
        "style": (HERE / "explorer.css").read_text(encoding="utf-8"),
        "about": _json(describe(run)),
        "heads": _json([address(picture) for picture in pictures] or heads(run)),
        "module": _packed((HERE / "vendor" / MODULE).read_bytes()),
        "runtime": _base64((HERE / "vendor" / RUNTIME).read_bytes()),
        "reader": networks[0],
        "renderer": networks[1],
        "source": _packed((HERE / "explorer.js").read_bytes()),
    }
    write_whole(path, filled((HERE / "page.html").read_text(encoding="utf-8"), fields))


def filled(template: str, fields: Mapping[str, str]) -> str:
    """A template with each ``{{name}}`` replaced by its field, once.

    Example:
        >>> filled("<p>{{a}}</p>", {"a": "{{b}}"})
        '<p>{{b}}</p>'
    """
    first, *rest = template.split("{{")
    parts = [part.partition("}}") for part in rest]
    return first + "".join(fields[name] + tail for name, _, tail in parts)


def halved(model: Any) -> bytes:
    """An ONNX model whose large weights are kept in 16 bits and widened by the graph."""
    import numpy as np  # noqa: PLC0415
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    graph, nodes = model.graph, []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _MANY or abs(values).max() > 6e4:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        nodes.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)
    packed: bytes = model.SerializeToString()
    return packed


def heads(run: Run) -> list[str]:
    """Addresses of twelve heads never trained on, for a network that has their knobs."""
    if set(run.factors) != KNOWS_HEADS:
        return []
    number = torch.arange(HEADS)
    turned = {
        "azimuth": (number * 37 % 101 - 50).float(),
        "elevation": (number * 13 % 31 - 15).float(),
        "light": (number * 53 % 91 - 45).float(),
    }
    rendered = load_scene("faces").render(FIRST_HEAD + number, turned, side=_TILE)
    found = []
    for pixels in rendered:
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze().numpy()).save(file, "PNG", optimize=True)
        found.append(f"data:image/png;base64,{_base64(file.getvalue())}")
    return found


def address(path: Path) -> str:
    """A picture file as a ``data:`` address.

    Raises:
        InputError: No picture, or a damaged one.
    """
    with opened(path) as picture:
        picture.load()
        kind = (picture.format or "png").lower()
    return f"data:image/{kind};base64,{_base64(path.read_bytes())}"


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _packed(content: bytes) -> str:
    return _base64(gzip.compress(content, 9, mtime=0))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
