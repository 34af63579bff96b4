"""ONNX: ONNX Runtime gives PyTorch's numbers, for every guide that is normal given the picture."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pyro import poutine

from pyro_dcign.cli import main
from pyro_dcign.code import FactorRange
from pyro_dcign.config import PRESETS
from pyro_dcign.errors import InputError
from pyro_dcign.explorer.export import READER, RENDERER, reader, renderer
from pyro_dcign.explorer.page import MODULE, RUNTIME, VENDORED, address, filled, halved
from pyro_dcign.explorer.traced import AtNoise, cholesky, refuse_other_than_normal
from pyro_dcign.runs import Run, build, default_run, load_run
from pyro_dcign.runs.codes import encode

pytest.importorskip("onnx", reason="ONNX is not installed: pip install 'pyro-dcign[dev]'")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

FACTORS = {"azimuth": FactorRange(0, 360, (), 360.0), "light": FactorRange(-80, 80)}
NORMAL = ["mean_field", "low_rank", "full_rank", "product_of_experts", "adaptive"]
REFUSED = ["flow", "semi_amortised", "auto", "auto_low_rank", "auto_full_rank"]


def small_run(guide: str) -> Run:
    changes = {"encoder_maps": (4, 4), "decoder_maps": (4, 4, 1), "decoder_kernels": (5, 7)}
    sizes = {"side": 20, "latents": 8, "periodic_latents": 2, "device": "cpu"}
    run = build(
        Path("x"), dataclasses.replace(PRESETS["small"], guide=guide, **changes, **sizes), FACTORS
    )
    with torch.no_grad():
        for parameter in run.guide.parameters():  # heads of N(0, 0.01²) would show no difference
            parameter.add_(
                0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
            )
    return run


def session(model: bytes | Path) -> "onnxruntime.InferenceSession":
    found = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(found, providers=["CPUExecutionProvider"])


def pixels(count: int, side: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, side, side), generator=draw).to(torch.uint8)


@pytest.mark.parametrize("guide", NORMAL)
def test_the_reader_gives_the_guide_s_posterior_of_any_number_of_pictures(guide: str) -> None:
    run = small_run(guide)
    opened = session(reader(run).SerializeToString())
    for count in (1, 5):
        pictures = pixels(count, 20).unsqueeze(1).float() / 255
        loc, scale = (torch.from_numpy(o) for o in opened.run(None, {"picture": pictures.numpy()}))
        torch.testing.assert_close(loc, encode(run, pixels(count, 20)), rtol=0, atol=1e-4)
        torch.testing.assert_close(scale, drawn_scale(run, pictures), rtol=0, atol=1e-4)


def drawn_scale(run: Run, pictures: torch.Tensor) -> torch.Tensor:
    """Marginal sd by autograd: the Jacobian of the code with respect to the guide's noise."""

    def code(noise: torch.Tensor) -> torch.Tensor:
        nodes = poutine.trace(AtNoise(run.code, noise)(run.guide)).get_trace(pictures).nodes
        return run.code.join({name: nodes[name]["value"] for name in run.code.factors})

    jacobian = torch.autograd.functional.jacobian(
        code, torch.zeros(len(pictures), run.code.latents)
    )
    own = torch.stack([jacobian[i, :, i] for i in range(len(pictures))])
    return own.square().sum(-1).sqrt()


@pytest.mark.parametrize("guide", REFUSED)
def test_a_guide_that_is_no_normal_graph_is_refused_in_one_line(guide: str) -> None:
    with pytest.raises(
        InputError, match=f"exported guide .* {guide} .*train a mean_field"
    ) as caught:
        reader(small_run(guide))
    assert "\n" not in str(caught.value)


def test_a_site_that_bends_with_earlier_draws_is_refused() -> None:
    import pyro
    import pyro.distributions as dist

    class Bent(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> None:
            with pyro.plate("images", len(images), dim=-1):
                zeros = torch.zeros(len(images), 1)
                a = pyro.sample(
                    "azimuth", dist.Normal(torch.zeros(len(images), 2), 1.0).to_event(1)
                )
                pyro.sample("light", dist.Normal(a[:, :1] ** 2, 1.0).to_event(1))
                pyro.sample("intrinsic", dist.Normal(zeros.expand(-1, 5), 1.0).to_event(1))

    run = dataclasses.replace(small_run("mean_field"), guide=Bent())
    with pytest.raises(InputError, match="bends with the draws before it"):
        refuse_other_than_normal(run)


def test_cholesky_is_the_library_s() -> None:
    root = torch.randn(7, 4, 4, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    matrix = root @ root.mT + torch.eye(4)
    torch.testing.assert_close(cholesky(matrix), torch.linalg.cholesky(matrix))


@pytest.fixture(scope="module")
def shipped() -> Run:
    run = load_run(default_run(), device="cpu")
    return run


@pytest.fixture(scope="module")
def files(shipped: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    out = tmp_path_factory.mktemp("onnx") / "out"
    with pytest.raises(SystemExit) as caught:
        main(["export", str(shipped.folder), str(out)])
    assert not caught.value.code
    return out / READER, out / RENDERER


def test_the_shipped_network_s_files_give_torch_s_numbers(
    shipped: Run, files: tuple[Path, Path]
) -> None:
    side = shipped.config.side
    pictures = (pixels(3, side).unsqueeze(1).float() / 255).numpy()
    loc, _ = session(files[0]).run(None, {"picture": pictures})
    torch.testing.assert_close(
        torch.from_numpy(loc), encode(shipped, pixels(3, side)), rtol=0, atol=1e-4
    )
    codes = torch.randn(5, shipped.code.latents, generator=torch.Generator().manual_seed(0))
    (found,) = session(files[1]).run(None, {"code": codes.numpy()})
    torch.testing.assert_close(
        torch.from_numpy(found), shipped.model.decode(codes), rtol=0, atol=1e-4
    )


def test_kernels_are_folded_before_they_are_written(files: tuple[Path, Path]) -> None:
    import onnx

    graph = onnx.load(files[1]).graph
    weights = {weight.name for weight in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    assert all(node.input[1] in weights for node in convolutions)
    assert {node.op_type for node in graph.node} & {"Einsum", "MatMul", "Tile"} == set()


def test_the_files_say_what_they_are(shipped: Run, files: tuple[Path, Path]) -> None:
    about = session(files[0]).get_modelmeta().custom_metadata_map
    found = {key: json.loads(value) for key, value in about.items()}
    assert found["side"] == shipped.config.side
    assert set(found["factors"]) == set(found["calibration"]) == {"azimuth", "elevation", "light"}
    content = (shipped.folder / "parameters.safetensors").read_bytes()
    assert found["parameters"] == hashlib.sha256(content).hexdigest()
    assert found["licence"] == "Apache-2.0"


def test_weights_of_sixteen_bits_move_a_picture_by_less_than_a_grey_level(
    shipped: Run, files: tuple[Path, Path]
) -> None:
    import onnx

    small = halved(onnx.load(files[1]))
    assert len(small) < 0.6 * files[1].stat().st_size
    codes = torch.randn(20, shipped.code.latents, generator=torch.Generator().manual_seed(0))
    (found,) = session(small).run(None, {"code": codes.numpy()})
    assert (torch.from_numpy(found) - shipped.model.decode(codes)).abs().max() < 1 / 255


def test_the_runtime_is_the_one_that_was_tested() -> None:
    from pyro_dcign.explorer import page

    vendor = page.HERE / "vendor"
    assert set(VENDORED) == {MODULE, RUNTIME}
    for name, expected in VENDORED.items():
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == expected
    assert "MIT License" in (vendor / "LICENSE-onnxruntime").read_text()


def test_a_field_of_the_page_is_filled_once() -> None:
    assert filled("{{a}}-{{b}}", {"a": "{{b}}", "b": "x"}) == "{{b}}-x"
    with pytest.raises(KeyError):
        filled("{{c}}", {})


def test_a_damaged_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"a\.png"):
        address(tmp_path / "a.png")


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"onnx is missing; pip install 'pyro-dcign\[onnx\]'"):
        renderer(small_run("mean_field"))


def test_a_page_is_not_written_into_a_folder_that_is_none(
    run: Callable[..., tuple[int, str, str]],
) -> None:
    status, _, error = run("explore", "--out", "nowhere/page.html")
    assert (status, error.count("\n")) == (2, 1)
    assert "nowhere is none" in error
