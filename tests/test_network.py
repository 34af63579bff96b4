"""The object that a user holds: ten wishes, and one line for each mistake."""

import subprocess
import sys

import arviz as az
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from PIL import Image
from torch import nn
from toy_run import RANGES, SIDE, toy_run, toy_set

import pyro_dcign as dcign
from pyro_dcign.measures.calibration import Calibration, calibrate, write_calibration
from pyro_dcign.measures.curve import Curve
from pyro_dcign.measures.people import People, people_of, write_people
from pyro_dcign.model.diagonal import sample_diagonal
from pyro_dcign.network.network import DCIGN, inside

TINY = {
    "network": "paper", "side": 16, "encoder_kernel": 3, "encoder_maps": [4, 4],
    "decoder_maps": [4, 4, 1], "decoder_kernels": [3, 5], "latents": 6, "device": "cpu",
    "precision": "float32",
    "start": "random", "minibatches": 2, "evaluate_every": 10, "checkpoint_every": 10,
}  # fmt: skip


class Mine(nn.Module):
    """A guide of the test's own."""

    def __init__(self, encoder, code):
        super().__init__()
        self.encoder, self.code = encoder, code
        self.loc = nn.Linear(encoder.features, code.latents)
        self.scale = nn.Parameter(torch.zeros(code.latents))

    def forward(self, images):
        loc = self.loc(self.encoder(images))
        scale = self.scale.exp().expand_as(loc)
        sample_diagonal(self.code, loc, scale)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A network whose codes are known, calibrated."""
    folder = tmp_path_factory.mktemp("toy")
    run, images = toy_run(folder), toy_set()
    write_calibration(calibrate(run, images), folder)
    write_people(people_of(run, images), folder)
    return DCIGN._of(run)


@pytest.fixture(scope="module")
def arrays():
    """Pictures of 12 things in 5 places and 3 lights."""
    who, x, light = (g.ravel() for g in np.meshgrid(range(12), range(5), range(3), indexing="ij"))
    draw = np.random.default_rng(0)
    looks = draw.random((12, 16, 16))
    pictures = 0.2 + 0.5 * looks[who] * (1 + light[:, None, None]) / 3
    for picture, place in zip(pictures, x, strict=True):
        picture[6:10, 3 * place : 3 * place + 4] += 0.2
    return pictures, {"identity": who, "azimuth": 20.0 * x, "light": 1.0 * light}


@pytest.fixture(scope="module")
def data(arrays):
    x, labels = arrays
    return dcign.TypedImages.from_arrays(x, size=4, **labels)


@pytest.fixture(scope="module")
def fitted(data):
    return dcign.DCIGN(data, guide=Mine, **TINY).fit(steps=20)


def test_importing_loads_no_torch_and_takes_milliseconds():
    code = "import pyro_dcign, sys; assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import time; s = time.process_time(); import pyro_dcign; print(time.process_time() - s)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(times) < 0.05


def test_every_public_name_is_there_and_has_an_example():
    assert set(dcign.__all__) <= set(dir(dcign))
    for name in dcign.__all__:
        assert ">>> " in getattr(dcign, name).__doc__, name
    with pytest.raises(AttributeError, match="has no nosuch"):
        dcign.nosuch  # noqa: B018


def test_codes_are_read_in_the_factors_own_unit(net):
    images = toy_set(seed=3, identities=2)
    code = net.encode(images.pixels[:6])
    frame = code.to_frame()
    assert frame["factor"].tolist() == ["azimuth", "light"] * 6
    azimuth = frame[frame["factor"] == "azimuth"]
    assert np.allclose(azimuth["value"], images.factors["azimuth"][:6], atol=3)
    assert (azimuth["low"] < azimuth["high"]).all()
    # The guide's sd is .01, 40 degrees to a unit: 90 % within 1.6 sd.
    assert np.allclose(azimuth["high"] - azimuth["low"], 2 * 1.645 * 0.01 * 40, rtol=0.3)


def test_draws_have_the_mean_and_sd_that_are_said(net):
    code = net.encode(toy_set(seed=3, identities=1).pixels[:2])
    drawn = code.sample(500)
    assert drawn.shape == (500, 2, net.latents)
    assert torch.allclose(drawn.mean(0), code.mean, atol=6 * 0.01 / 500**0.5)
    assert torch.allclose(code.sd, torch.full_like(code.sd, 0.01), rtol=0.15)
    assert torch.equal(drawn, code.sample(500))


def test_intervals_on_a_circle_lie_around_their_value(tmp_path):
    ranges = {"azimuth": RANGES["azimuth"].__class__(0.0, 360.0, (), 360.0)}
    run = toy_run(tmp_path, ranges=ranges)
    knots = np.arange(0.0, 360.0, 5)
    circle = [(float(np.cos(np.deg2rad(k))), float(np.sin(np.deg2rad(k)))) for k in knots]
    curve = Curve((0, 1), tuple(knots.tolist()), tuple(circle), 360.0)
    write_calibration(Calibration({"azimuth": curve}, 1), tmp_path)
    picture = np.full((1, SIDE, SIDE), 0.5)
    picture[0, 0, 0] = 0.6  # the code (1, 0): 0 degrees, where the circle closes
    row = DCIGN._of(run).encode(picture).to_frame(prob=0.99).iloc[0]  # two sds from the end
    assert row["high"] - row["low"] < 10
    assert row["low"] <= row["value"] <= row["high"]


def test_edits_set_several_factors_at_once_and_keep_the_rest(net):
    picture = toy_set(seed=5, identities=1).pixels[:1]
    edited = net.edit(picture, azimuth=30, light=-45)
    value = net.encode(edited).to_frame().set_index("factor")["value"]
    assert value["azimuth"] == pytest.approx(30, abs=2)
    assert value["light"] == pytest.approx(-45, abs=2)
    kept = net.encode(picture).mean[:, 2:]
    assert torch.equal(edited.latents[:, 2:], kept)


def test_each_picture_may_have_a_value_of_its_own(net):
    pictures = toy_set(seed=5, identities=1).pixels[:3]
    edited = net.edit(pictures, azimuth=[-30, 0, 30])
    frame = net.encode(edited).to_frame()
    value = frame[frame["factor"] == "azimuth"]["value"]
    assert np.allclose(value, [-30, 0, 30], atol=2)


def test_pictures_of_a_network_can_be_given_back(net):
    code = net.encode(toy_set(seed=5, identities=1).pixels[:3])
    again = net.encode(net.decode(code))
    # 8 bits: a step of a latent is 10 / 255.
    assert torch.allclose(again.mean, code.mean, atol=10 / 255)
    assert torch.equal(net.decode(code.mean).images, net.decode(code).images)
    assert np.asarray(net.decode(code)).shape == (3, SIDE, SIDE)


def test_what_is_shown_can_be_saved(net, tmp_path):
    picture = toy_set(seed=5, identities=1).pixels[0]
    sweep = net.sweep(picture, azimuth=range(-60, 61, 15))
    with Image.open(sweep.save(tmp_path / "turn.gif")) as found:
        assert found.n_frames == 9 + 7
    sweep.save(tmp_path / "turn.png")
    with Image.open(net.edit(picture, azimuth=3).save(tmp_path / "one.png")) as found:
        assert found.size == (SIDE, SIDE)
    with Image.open(net.sample(9).save(tmp_path / "nine.png")) as found:
        assert found.size == (8 * (SIDE + 2) - 2, 2 * SIDE + 2)
    for shown in (sweep, net.sample(2)):
        assert shown._repr_png_().startswith(b"\x89PNG")
    assert "azimuth" in net.encode(picture)._repr_html_()
    assert set(net.sweep(picture).views) == set(net.factors)


def test_new_people_have_the_moments_of_the_training_codes(net):
    people = net.sample(2000, azimuth=0)
    frame = people.latents
    codes = net.encode(toy_set().pixels).mean[:, 2:]
    assert torch.allclose(frame[:, 2:].mean(0), codes.mean(0), atol=0.12)
    assert torch.allclose(frame[:, 2:].std(0), codes.std(0), rtol=0.1)
    azimuth = net.calibration.factor_values("azimuth", frame)
    assert azimuth.abs().max() < 1
    assert net.calibration.factor_values("light", frame).std() > 20
    model = net.sample(2000, prior="model").latents
    assert torch.allclose(model.std(0), torch.ones(net.latents), rtol=0.1)


def test_moments_of_latents_that_are_known():
    codes = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    covariance = codes.T @ codes / 4
    values, vectors = torch.linalg.eigh(covariance)
    people = People(torch.tensor([5.0, 7.0]), vectors * values.sqrt())
    drawn = people.draw(20_000, torch.Generator().manual_seed(0))
    assert torch.allclose(drawn.mean(0), people.mean, atol=0.05)
    assert torch.allclose(torch.cov(drawn.T), covariance, atol=0.08)


def test_the_posterior_is_arviz_data_with_chains(net):
    found = net.posterior(toy_set(seed=5, identities=1).pixels[:2], draws=150, chains=3)
    summary = az.summary(found)
    assert {"azimuth[0]", "azimuth_value[1]", "light_value[0]"} <= set(summary.index)
    posterior = found["posterior"]
    assert dict(posterior["azimuth_value"].sizes) == {"chain": 3, "draw": 150, "image": 2}
    value = net.encode(toy_set(seed=5, identities=1).pixels[:2]).to_frame()["value"].iloc[0]
    assert float(posterior["azimuth_value"][:, :, 0].mean()) == pytest.approx(value, abs=0.5)


def test_arrays_become_typed_minibatches_split_by_identity(data, arrays):
    assert list(data.store.factors) == ["azimuth", "light"]
    assert {"azimuth", "light", "intrinsic"} <= set(data.store.types)
    train, test = (set(split.identity.tolist()) for split in (data.train, data.test))
    assert train.isdisjoint(test)
    assert train | test <= set(range(12))
    first = data.store.minibatch("train", "azimuth", 0)
    assert len(first.factors["azimuth"].unique()) > 1
    assert len(first.factors["light"].unique()) == len(first.identity.unique()) == 1
    assert "azimuth 0 to 80" in repr(data)


def test_a_period_can_be_declared(arrays):
    x, labels = arrays
    labels = {**labels, "azimuth": labels["azimuth"] * 3.6}
    data = dcign.TypedImages.from_arrays(x, periods={"azimuth": 360}, size=4, **labels)
    assert data.store.factors["azimuth"].period == 360


def test_minibatches_are_formed_anew_at_the_networks_size(arrays):
    x, labels = arrays
    data = dcign.TypedImages.from_arrays(x.repeat(2, 1).repeat(2, 2), size=4, **labels)
    assert data.store.side == 32
    net = dcign.DCIGN(data, **TINY)
    assert net.data.store.side == net.config.side == 16
    assert data.at(16) is data.at(16)


def test_a_fit_keeps_its_history_and_the_callers_generator(fitted, data):
    before = torch.get_rng_state()
    other = dcign.DCIGN(data, guide=Mine, seed=0, **TINY).fit(steps=20)
    assert torch.equal(torch.get_rng_state(), before)
    assert other.history.index.tolist() == [10, 20]
    assert {"test/elbo", "train/azimuth/kl"} <= set(other.history.columns)
    # The same data, seed and settings: the same network.
    assert other.history["test/elbo"].tolist() == fitted.history["test/elbo"].tolist()
    assert "20 steps" in repr(other)


def test_a_fit_goes_on_where_it_stopped(fitted, data):
    half = dcign.DCIGN(data, guide=Mine, seed=0, **TINY)
    half.fit(steps=10).encode(data.test.pixels)
    _ = half.calibration  # of the parameters at step 10
    half.fit(steps=20)
    assert half.history["test/elbo"].tolist() == fitted.history["test/elbo"].tolist()
    assert half.calibration == fitted.calibration
    with pytest.raises(dcign.InputError, match="20 steps are taken already"):
        half.fit()


def test_callbacks_are_called_between_blocks_and_may_stop(data, tmp_path):
    seen = []
    net = dcign.DCIGN(data, **TINY)
    log = dcign.CSV(tmp_path / "fit.csv")
    net.fit(steps=40, callbacks=[log, lambda net, row: seen.append(row) or row["step"] >= 20])
    assert [row["step"] for row in seen] == [10, 20]
    assert "test/elbo" in seen[0]
    assert net.step == 20
    assert "20," in log.path.read_text().splitlines()[-1]
    net.fit(steps=30)
    assert net.history.index.tolist() == [10, 20, 30]


def test_a_saved_network_opens_again_with_its_guide(fitted, data, tmp_path):
    folder = fitted.save(tmp_path / "mine")
    assert "Mine" in (folder / "config.toml").read_text()
    again = dcign.load(folder, guide=Mine)
    pictures = data.test.pixels[:3]
    assert torch.equal(again.encode(pictures).mean, fitted.encode(pictures).mean)
    assert again.calibration == fitted.calibration
    assert again.history.equals(fitted.history)
    assert torch.equal(again.sample(2).images, fitted.sample(2).images)
    assert repr(again) == repr(fitted)
    with pytest.raises(dcign.InputError, match="Mine"):
        dcign.load(folder)
    fitted.save(folder)  # over itself


def test_a_fit_in_a_folder_opens_from_there(data, tmp_path):
    net = dcign.DCIGN(data, **TINY).fit(steps=10, folder=tmp_path / "run")
    net.save(tmp_path / "run")
    again = dcign.load(tmp_path / "run")
    assert torch.equal(again.encode(data.test.pixels).mean, net.encode(data.test.pixels).mean)
    assert again.fit(steps=20).step == 20


def test_measures_and_checks_are_tables(fitted, data):
    frame = fitted.evaluate(data.test).to_frame().set_index(["factor", "measure"])
    assert frame.loc[("", "mse"), "low"] <= frame.loc[("", "mse"), "value"]
    assert ("azimuth", "leakage") in frame.index or ("azimuth", "spearman") in frame.index
    check = fitted.check(images=8, draws=100, simulations=20, reference=0, refined=2)
    assert len(check.to_frame()) == len(check.verdicts) > 2
    assert f"{check.flagged} of" in repr(check)


class Nameless(nn.Module):
    def __init__(self, encoder, code):
        super().__init__()

    def forward(self, images):
        with pyro.plate("images", len(images), dim=-1):
            pyro.sample("azimuth", dist.Normal(torch.zeros(len(images), 1), 1.0).to_event(1))


class OtherSignature(nn.Module):
    def __init__(self, encoder):
        super().__init__()


def twelve(arrays, **changed):
    x, labels = arrays
    return dcign.TypedImages.from_arrays(**{"x": x, "size": 4, **labels, **changed})


REFUSED = {
    "no run": (lambda c: dcign.load("nosuch"), "a network is one of faces"),
    "a folder that is no run": (lambda c: dcign.load(c.tmp_path), "has no config.toml"),
    "a function as guide": (lambda c: dcign.DCIGN(c.data, guide=len, **TINY), "torch.nn.Module"),
    "a guide to load": (lambda c: dcign.load("faces", guide=3), "torch.nn.Module"),
    "a class of another signature": (
        lambda c: dcign.DCIGN(c.data, guide=OtherSignature, **TINY), "GuideClass\\(encoder, code"
    ),
    "a class without the sites": (
        lambda c: dcign.DCIGN(c.data, guide=Nameless, **TINY), "is to sample azimuth"
    ),
    "no guide of that name": (lambda c: dcign.DCIGN(c.data, guide="nosuch"), "guide is one of"),
    "no such setting": (lambda c: dcign.DCIGN(c.data, nosuch=1), "no such setting"),
    "no data folder": (lambda c: dcign.DCIGN("nosuch"), "data folder"),
    "an array of codes": (lambda c: c.net.decode(torch.zeros(3)), "codes are to be"),
    "an array of large floats": (lambda c: c.net.encode(np.full((16, 16), 9.0)), "divide by 255"),
    "an unknown factor": (lambda c: c.net.edit(c.one, smile=1), "factors are azimuth, light"),
    "a value outside": (lambda c: c.net.edit(c.one, azimuth=90), "trained from -80 to 80, got 90"),
    "a value in words": (lambda c: c.net.edit(c.one, azimuth="left"), "finite numbers"),
    "not a number": (lambda c: c.net.sample(2, light=float("nan")), "finite numbers"),
    "two values for three": (lambda c: c.net.sample(3, light=[1, 2]), "one value, or one for each"),
    "a sweep of nothing": (lambda c: c.net.sweep(c.one, light=[]), "1 or more"),
    "a sweep outside": (lambda c: c.net.sweep(c.one, light=[0, 99]), "got 99"),
    "a sweep of many": (lambda c: c.net.sweep([c.one, c.one], light=[0]), "one picture"),
    "nobody": (lambda c: c.net.sample(0), "1 or more"),
    "another prior": (lambda c: c.net.sample(1, prior="flat"), "aggregate"),
    "no draws": (lambda c: c.net.posterior(c.one, draws=0), "1 or more"),
    "an interval of nothing": (lambda c: c.net.encode(c.one).to_frame(prob=1), "between 0 and 1"),
    "another ending": (lambda c: c.net.sample(1).save("a.jpg"), "FILE.png or FILE.gif"),
    "no folder": (lambda c: c.net.sample(1).save("no/such/a.png"), "make it first"),
    "a fit without data": (lambda c: c.net.fit(), "needs typed minibatches"),
    "measures without data": (lambda c: c.net.evaluate(), "not here"),
    "an unknown effort": (lambda c: c.net.check(toy_set(), nosuch=1), "check\\(\\) takes"),
    "labels too few": (lambda c: twelve(c.arrays, light=[1.0]), "180 labels"),
    "labels in words": (lambda c: twelve(c.arrays, light=["a"] * 180), "is to be numbers"),
    "a period of nothing": (lambda c: twelve(c.arrays, periods={"tilt": 360}), "one of azimuth"),
    "a negative period": (lambda c: twelve(c.arrays, periods={"light": -1}), "positive number"),
    "one thing only": (lambda c: twelve(c.arrays, identity=[0] * 180), "identities"),
}  # fmt: skip


class Case:
    def __init__(self, net, data, arrays, tmp_path):
        self.net, self.data, self.arrays, self.tmp_path = net, data, arrays, tmp_path
        self.one = toy_set(identities=1).pixels[0]


@pytest.mark.parametrize("what", REFUSED)
def test_a_mistake_is_one_line(what, net, data, arrays, tmp_path):
    do, says = REFUSED[what]
    with pytest.raises(dcign.InputError, match=says) as caught:
        do(Case(net, data, arrays, tmp_path))
    assert "\n" not in str(caught.value)


def test_what_was_saved_is_not_overwritten_by_another(fitted, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(dcign.InputError, match="holds other things"):
        fitted.save(tmp_path / "notes")


def test_values_are_taken_as_any_numbers():
    limits = RANGES["azimuth"]
    assert inside("azimuth", range(0, 30, 10), limits) == [0, 10, 20]
    assert inside("azimuth", torch.tensor([1.0]), limits) == [1]
