"""The page in a browser: what it reads and draws is what Python reads and draws."""

import io
import json
import os
import random
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pyro_dcign.cli import main
from pyro_dcign.files.picture import read_picture
from pyro_dcign.measures.calibration import open_calibration
from pyro_dcign.runs import Run, default_run, load_run
from pyro_dcign.runs.codes import decode, encode

FACE = Path(__file__).parents[2] / "docs" / "face.png"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
LOADED, DRAWN = 120_000, 30_000  # milliseconds, on a machine that is busy

if CHROMIUM is None:
    pytest.skip("no chromium here: apt-get install chromium", allow_module_level=True)
for needed in ("onnx", "onnxscript", "playwright.sync_api"):
    pytest.importorskip(needed, reason=f"{needed} is missing: pip install 'pyro-dcign[dev]'")


@pytest.fixture(scope="module")
def shipped() -> Run:
    run = load_run(default_run(), device="cpu")
    return run


@pytest.fixture(scope="module")
def file(shipped: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    with pytest.raises(SystemExit) as caught:
        main(["explore", str(shipped.folder), "--out", str(path)])
    assert not caught.value.code
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def opened(browser: Any, file: Path) -> Iterator[Any]:
    """The page, and in ``requests`` and ``errors`` what it asked for and complained of."""
    page = browser.new_page()
    page.requests, page.errors = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(file.as_uri())
    page.wait_for_selector("[data-ready]", state="attached", timeout=LOADED)
    yield page
    page.close()


@pytest.fixture
def page(opened: Any) -> Any:
    """The page with docs/face.png as its first and only picture."""
    opened.evaluate("Object.assign(document.querySelector('main').explorer.state, {second: null})")
    opened.check("input[value=first]")
    give(opened, FACE.name, FACE.read_bytes())
    return opened


def give(page: Any, name: str, content: bytes, kind: str = "image/png") -> str:
    """Choose a file; what the page then says."""
    page.evaluate("document.querySelector('.status').textContent = ''")
    page.set_input_files(".file", {"name": name, "mimeType": kind, "buffer": content})
    wait(page, "document.querySelector('.status').textContent !== ''")
    settle(page)
    return str(page.text_content(".status"))


def wait(page: Any, expression: str) -> None:
    """Until an expression is true; Playwright's own way needs eval, which the page forbids."""
    until = time.monotonic() + DRAWN / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < until, expression
        time.sleep(0.02)


def settle(page: Any) -> None:
    page.evaluate("document.querySelector('main').explorer.settled()")


def pixels(page: Any, canvas: str) -> np.ndarray:
    data = page.evaluate(
        """(name) => { const c = document.querySelector(name);
        return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)
          .filter((_, i) => i % 4 === 0); }""",
        canvas,
    )
    side = int(len(data) ** 0.5)
    return np.array(data, dtype=int).reshape(side, side)


def png(picture: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, options.pop("format", "PNG"), **options)
    return file.getvalue()


def knobs(page: Any) -> dict[str, Any]:
    rows = page.query_selector_all(".knob")
    return {r.query_selector("span").text_content().lower(): r for r in rows}


def test_the_page_asks_for_nothing_over_the_net(opened: Any, file: Path) -> None:
    asked = [url for url in opened.requests if not url.startswith("blob:")]
    assert asked == [file.as_uri()]
    assert opened.errors == []
    print(f"\n{file.stat().st_size / 2**20:.2f} MB")  # noqa: T201
    assert file.stat().st_size < 8 * 2**20


def test_the_page_s_policy_forbids_the_net(opened: Any) -> None:
    answer = opened.evaluate("fetch('https://example.org').then(() => 'got', () => 'refused')")
    assert answer == "refused"


def test_a_picture_is_read_as_python_reads_it(page: Any, shipped: Run) -> None:
    expected, _ = read_picture(FACE, shipped.config.side)
    assert abs(pixels(page, ".picture") - expected.numpy().astype(int)).max() <= 1
    codes = encode(shipped, expected.unsqueeze(0))
    calibration = open_calibration(shipped)
    read = page.evaluate("document.querySelector('main').explorer.state.read")
    assert set(read) == set(calibration.curves)
    for name, value in read.items():
        assert abs(value - float(calibration.factor_values(name, codes))) <= 1
    shown = decode(shipped, codes).squeeze().mul(255).round().numpy().astype(int)
    assert abs(pixels(page, ".decoded") - shown).max() <= 2


def test_the_sliders_edit_as_python_edits(page: Any, shipped: Run) -> None:
    codes = encode(shipped, read_picture(FACE, shipped.config.side)[0].unsqueeze(0))
    calibration, draw = open_calibration(shipped), random.Random(0)
    rows, worst = knobs(page), 0
    page.evaluate("document.querySelector('main').explorer.times.length = 0")
    for _ in range(200):
        wanted = codes
        for name, row in rows.items():
            limits = shipped.factors[name]
            value = limits.low + 0.5 * draw.randint(0, int(2 * (limits.high - limits.low)))
            slider = row.query_selector("input")
            slider.evaluate(
                "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", value
            )
            wanted = calibration.edit(wanted, name, [value])
        settle(page)
        expected = decode(shipped, wanted).squeeze().mul(255).round().numpy().astype(int)
        worst = max(worst, abs(pixels(page, ".edited") - expected).max())
    times = page.evaluate("document.querySelector('main').explorer.times")
    print(  # noqa: T201
        f"\n{statistics.median(times):.1f} ms from a slider to its picture, median of {len(times)}"
    )
    assert worst <= 2


def test_a_head_turns_by_keys_alone(page: Any) -> None:
    page.focus(".turn")
    before = pixels(page, ".edited")
    values = page.evaluate("document.querySelector('main').explorer.state.values")
    assert values == {}
    for key in ("ArrowRight", "ArrowUp", "Shift+ArrowRight"):
        page.keyboard.press(key)
    settle(page)
    state = page.evaluate("document.querySelector('main').explorer.state")
    for name, by in {"azimuth": 3, "elevation": 2, "light": 3}.items():
        assert abs(state["values"][name] - state["read"][name] - by) <= 0.5
    assert abs(pixels(page, ".edited") - before).max() > 2
    page.click(".reset")
    settle(page)
    assert (pixels(page, ".edited") == before).all()


def test_a_slider_moves_by_keys_and_says_its_value(page: Any) -> None:
    slider = knobs(page)["azimuth"].query_selector("input")
    slider.focus()
    before = float(slider.input_value())
    page.keyboard.press("ArrowRight")
    settle(page)
    assert float(slider.input_value()) == before + 0.5
    assert "read" in slider.get_attribute("aria-valuetext")


GREY = Image.new("L", (64, 64))
PICTURES = {
    "broken.png": (b"\x89PNG\r\n\x1a\n and no more", "no picture"),
    "text.png": (b"hello", "no picture"),
    "empty.png": (b"", "no picture"),
    "tiny.png": (png(Image.new("L", (1, 1))), "too small"),
    "huge.png": (png(Image.new("L", (9000, 7000))), "9000 by 7000"),
    "transparent.png": (png(Image.new("RGBA", (80, 80), (255, 255, 255, 0))), "80 by 80"),
    "moving.gif": (
        png(GREY, format="GIF", save_all=True, append_images=[GREY.point(lambda v: v + 9)]),
        "64 by 64",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_any_picture_gets_one_line_and_the_page_goes_on(page: Any, name: str) -> None:
    content, expected = PICTURES[name]
    said = give(page, name, content, "image/" + name.rpartition(".")[2])
    assert name in said
    assert expected in said
    assert "\n" not in said
    assert "face.png" in give(page, FACE.name, FACE.read_bytes())
    assert page.errors == []


def test_a_dropped_file_is_taken_and_other_things_are_said(page: Any) -> None:
    dropped = page.evaluate_handle(
        """(bytes) => { const d = new DataTransfer();
        d.items.add(new File([new Uint8Array(bytes)], 'dropped.png', {type: 'image/png'}));
        return d; }""",
        list(png(GREY)),
    )
    page.dispatch_event("main", "drop", {"dataTransfer": dropped})
    wait(page, "document.querySelector('.status').textContent.startsWith('dropped.png')")
    nothing = page.evaluate_handle("new DataTransfer()")
    page.dispatch_event("main", "drop", {"dataTransfer": nothing})
    assert "no file" in page.text_content(".status")


def test_the_square_moves_over_the_picture(page: Any) -> None:
    half = np.repeat(np.array([[0, 255]], np.uint8), 64, axis=1)  # black, then white
    give(page, "half.png", png(Image.fromarray(np.repeat(half, 128, axis=0))))
    assert 120 < pixels(page, ".picture").mean() < 135
    page.click("summary")
    page.fill(".zoom", "3")
    page.fill(".shift-x", "1")
    settle(page)
    assert pixels(page, ".picture").min() > 250
    page.click("summary")


def test_what_is_transparent_lies_on_black(page: Any) -> None:
    give(page, "clear.png", png(Image.new("RGBA", (80, 80), (255, 255, 255, 0))))
    assert pixels(page, ".picture").max() == 0


def test_a_photograph_is_turned_as_its_camera_says(page: Any) -> None:
    half = Image.fromarray(np.repeat(np.array([[255] * 64, [0] * 64], np.uint8), 32, axis=0))
    exif = Image.Exif()
    exif[0x0112] = 6  # its top is to the right
    give(page, "turned.jpg", png(half, format="JPEG", exif=exif.tobytes()), "image/jpeg")
    found = pixels(page, ".picture")
    assert found[:, -8:].mean() > 200
    assert found[:, :8].mean() < 50


def test_a_second_picture_gives_its_person_or_its_pose(page: Any, shipped: Run) -> None:
    page.check("input[value=second]")
    page.click(".heads button:nth-child(6)")
    wait(page, "document.querySelector('main').explorer.state.second !== null")
    settle(page)
    state = page.evaluate(
        """(() => { const s = document.querySelector('main').explorer.state;
        return {first: [...s.first.loc], second: [...s.second.loc]}; })()"""
    )
    first, second = (torch.tensor(state[which]) for which in ("first", "second"))
    own = [i for curve in open_calibration(shipped).curves.values() for i in curve.indices]
    for button, pose, person in ((".person", first, second), (".pose", second, second)):
        page.click(button)
        settle(page)
        code = person.clone()
        code[own] = pose[own]
        expected = decode(shipped, code[None]).squeeze().mul(255).round().numpy().astype(int)
        assert abs(pixels(page, ".edited") - expected).max() <= 2


def test_a_strip_and_a_gif_are_saved(page: Any) -> None:
    with page.expect_download(timeout=DRAWN) as saved:
        page.click(".strip")
    strip = Image.open(io.BytesIO(saved.value.path().read_bytes()))
    assert (strip.format, strip.size) == ("PNG", (11 * 134 + 6, 156))
    with page.expect_download(timeout=DRAWN) as saved:
        page.click(".gif")
    moving = Image.open(io.BytesIO(saved.value.path().read_bytes()))
    assert (moving.format, moving.n_frames, moving.size) == ("GIF", 48, (256, 256))
    moving.seek(24)
    last = np.asarray(moving.convert("L"), dtype=int)
    moving.seek(0)
    assert abs(np.asarray(moving.convert("L"), dtype=int) - last).max() > 20


def test_a_link_brings_the_state_back_without_the_picture(page: Any, browser: Any) -> None:
    knobs(page)["azimuth"].query_selector("input").fill("-20")
    settle(page)
    page.click(".link")
    wait(page, "location.hash.startsWith('#code=')")
    other = browser.new_page()
    other.goto(page.url)
    other.wait_for_selector("[data-ready]", state="attached", timeout=LOADED)
    settle(other)
    assert abs(pixels(other, ".edited") - pixels(page, ".edited")).max() <= 1
    assert knobs(other)["azimuth"].query_selector("input").input_value() == "-20"
    other.close()


def test_a_damaged_link_is_said_and_the_page_opens(browser: Any, file: Path) -> None:
    other = browser.new_page()
    other.goto(file.as_uri() + "#code=!!")
    other.wait_for_selector("[data-ready]", state="attached", timeout=LOADED)
    assert "Picture 1" in other.text_content(".status")
    other.close()


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [(1e-3, "good", "Like"), (3e-3, "fair", "Unlike"), (2e-2, "poor", "Nothing like")],
)
def test_familiarity_is_said_in_words(page: Any, error: float, kind: str, word: str) -> None:
    quantiles = {"0.5": 1e-3, "0.95": 2e-3, "0.999": 5e-3}
    found = page.evaluate(
        "([e, q]) => document.querySelector('main').explorer.familiarity(e, q)", [error, quantiles]
    )
    assert found[0] == kind
    assert found[1].startswith(f"{word} what the network knows")


def test_axe_finds_nothing_to_mend_in_light_and_dark(page: Any) -> None:
    source = os.environ.get("AXE")
    if source is None:
        pytest.skip("AXE is to name axe.min.js of npm's axe-core")
    page.evaluate(Path(source).read_text(encoding="utf-8"))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate("axe.run()")["violations"]
        assert found == [], json.dumps([(v["id"], v["nodes"][0]["html"]) for v in found])
