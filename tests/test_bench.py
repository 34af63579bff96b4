"""Laws of the benchmark: every rival takes a true step on the same network, and is timed."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from bench import (
    COMPILED,
    EXACT,
    FACTORS,
    OURS,
    RIVALS,
    NoiseFeed,
    compare,
    main,
    papers_step,
    rivals_on,
    table,
    taker,
)
from peers import PEERS
from rivals import PlainVAE, Tricks

from pyro_dcign.config import PRESETS, Config, configure, read_settings
from pyro_dcign.images import intensities
from pyro_dcign.runs.run import build
from pyro_dcign.training.svi import typed_svi

HERE = Path(__file__).parent
TINY = Config(
    side=16,
    encoder_maps=(4, 3),
    encoder_kernel=3,
    decoder_maps=(3, 4, 1),
    decoder_kernels=(3, 5),
    latents=6,
    device="cpu",
    precision="float32",
)


def test_a_rivals_network_is_the_runs(tmp_path) -> None:
    run = build(tmp_path, TINY, FACTORS)
    vae = PlainVAE(run)
    ours = list(run.modules.parameters())
    theirs = [*vae.decoder.parameters(), *vae.encoder.parameters()]
    theirs += [*vae.loc.parameters(), *vae.log_variance.parameters()]
    assert sorted(tuple(p.shape) for p in theirs) == sorted(tuple(p.shape) for p in ours)
    images = torch.rand(2, 1, 16, 16)
    assert vae.decoder(vae.encode(images)[0]).shape == images.shape


def test_only_a_gpu_has_rivals_without_tf32_and_compiled() -> None:
    cpu, cuda = (rivals_on(torch.device(kind)) for kind in ("cpu", "cuda"))
    assert set(cuda) - set(cpu) == {COMPILED, EXACT}
    assert [name for name in cpu if name not in PEERS] == list(RIVALS)


@pytest.mark.parametrize("name", [EXACT, *RIVALS])
def test_every_rival_takes_steps(name: str, tmp_path) -> None:
    run = build(tmp_path, TINY, FACTORS)
    take, several = taker(name, run, NoiseFeed(run, rows=4), 2)
    take()
    assert several == 1


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.filterwarnings("ignore")  # theirs
def test_a_peers_loop_trains_the_network(name: str, tmp_path, monkeypatch) -> None:
    pytest.importorskip(name)
    run, kept = build(tmp_path, TINY, FACTORS), []
    real = PlainVAE.__init__

    def keeping(self, run):
        real(self, run)
        kept.append((self, [p.detach().clone() for p in self.parameters()]))

    monkeypatch.setattr(PlainVAE, "__init__", keeping)
    take, several = taker(name, run, NoiseFeed(run, rows=4), 2)
    take()
    assert several == 4
    ((vae, before),) = kept
    assert all(not torch.equal(p, old) for p, old in zip(vae.parameters(), before, strict=True))


def test_what_pyro_costs_is_measured_against_the_same_step(tmp_path) -> None:
    losses, gradients = [], []
    for kind in ("ours", "tricks"):
        run = build(tmp_path, TINY, FACTORS)
        with torch.no_grad():  # no noise: the two draw in another order
            run.guide.log_variance.weight.zero_()
            run.guide.log_variance.bias.fill_(-30)
        svi = typed_svi(run) if kind == "ours" else Tricks(run, torch.float32)
        feed = NoiseFeed(run, rows=4)
        draws = feed.draw(1, 2)
        images = intensities(feed.pixels[draws.rows[0]].flatten(0, 1))
        terms = svi.gradients(images, draws.active[0])
        losses.append(terms.reconstruction)
        gradients.append([p.grad for n, p in run.modules.named_parameters() if "decoder" in n])
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-3)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * float(b.abs().max()))


def test_all_take_the_papers_step_whatever_the_preset_trains_with() -> None:
    step = papers_step(PRESETS["small"])
    assert (step.handler, step.likelihood, step.optimizer) == ("mean", "bernoulli", "adam")
    assert step.agreement == 0
    assert (step.side, step.latents) == (64, 64)


def test_ratios_are_times_ours() -> None:
    found = compare(TINY, 1, seconds=0.01, rivals=RIVALS[1:])["rivals"]
    assert found[OURS]["times_ours"] == 1
    wanted = found["plain PyTorch"]["ms"] / found[OURS]["ms"]
    assert found["plain PyTorch"]["times_ours"] == wanted
    assert "plain PyTorch" in table([{"images": 20, "rivals": found}])


def test_bench_prints_json_and_draws(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(PRESETS, "small", dataclasses.replace(TINY, preset="small"))
    figure = tmp_path / "speed.png"
    words = ["--preset", "small", "--device", "cpu", "--json", "--seconds", "0.01"]
    main([*words, "--minibatches", "1", "--figure", str(figure)])
    found = json.loads(capsys.readouterr().out)
    assert list(found["results"][0]["rivals"]) == list(rivals_on(torch.device("cpu")))
    assert Path(figure).stat().st_size > 1000


def test_bench_refuses_numbers_that_are_none(capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--preset", "small", "--minibatches", "1,x"])
    assert "--minibatches" in capsys.readouterr().err


RESIDUAL = dataclasses.replace(
    TINY, side=21, network="residual", encoder_maps=(4, 6), decoder_maps=(6, 5), hidden=8
)


def test_the_residual_rival_is_the_same_network(tmp_path) -> None:
    run = build(tmp_path, RESIDUAL, FACTORS)
    vae = PlainVAE(run).double()
    names = {"residual.linear": "residual"}
    for ours, theirs in ((run.guide.encoder, vae.encoder), (run.model.decoder, vae.decoder)):
        state = ours.double().state_dict()
        for long, short in names.items():
            state = {name.replace(long, short): value for name, value in state.items()}
        theirs.load_state_dict(state)
    images = torch.rand(2, 1, 21, 21, dtype=torch.float64)
    z = torch.randn(2, run.code.latents, dtype=torch.float64)
    torch.testing.assert_close(vae.encoder(images), run.guide.encoder(images))
    torch.testing.assert_close(vae.decoder(z), run.model.decoder(z))


@pytest.mark.parametrize("name", RIVALS)
def test_every_rival_takes_steps_of_the_residual_network(name: str, tmp_path) -> None:
    run = build(tmp_path, RESIDUAL, FACTORS)
    take, _ = taker(name, run, NoiseFeed(run, rows=4), 2)
    take()


@pytest.mark.parametrize("path", sorted((HERE.parent / "benchmarks").glob("*.toml")), ids=str)
def test_every_benchmarks_config_is_valid(path: Path) -> None:
    config = configure(read_settings(path))
    assert (config.network == "residual") == path.stem.startswith("residual")
