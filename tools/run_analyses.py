"""Execute the notebooks of analyses/ and keep their outputs, small: python tools/run_analyses.py.

From the repository's root, after ``make fit`` and ``pyro-dcign check runs/faces``; with names, only
those notebooks. The tests ask that the script and the notebook have the same cells.
"""

import base64
import io
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbclient
from PIL import Image

FOLDER = Path(__file__).parents[1] / "analyses"


def small(png: str) -> str:
    """The same picture with a palette of 128 colours."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        paletted = picture.convert("RGB").quantize(128)
    file = io.BytesIO()
    paletted.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def execute(name: str) -> None:
    notebook: Any = jupytext.read(FOLDER / f"{name}.py")
    resources = {"metadata": {"path": str(Path.cwd())}}
    nbclient.NotebookClient(
        notebook, timeout=3600, resources=resources, record_timing=False
    ).execute()
    for cell in notebook.cells:
        outputs = [o for o in cell.get("outputs", []) if o.get("name") != "stderr"]
        if "outputs" in cell:
            cell.outputs = outputs  # warnings are of this machine
        for output in outputs:
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = small(data["image/png"])
    jupytext.write(notebook, FOLDER / f"{name}.ipynb")


for name in sys.argv[1:] or sorted(path.stem for path in FOLDER.glob("*.py")):
    print(name, flush=True)
    execute(name)
