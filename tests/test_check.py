"""Each check on a posterior known in closed form: silent when it is exact, loud when it is not."""

import dataclasses
import json

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from click.testing import CliRunner
from fake_scene import FakeScene, load
from linear_run import NOISE, linear_images, linear_run

from pyro_dcign.cli import app, main
from pyro_dcign.config import Config
from pyro_dcign.datasets.generate import make
from pyro_dcign.datasets.labelled import EvaluationSet
from pyro_dcign.datasets.plans.recipe import Recipe, counts
from pyro_dcign.posterior import arviz_bridge
from pyro_dcign.posterior.arviz_bridge import pareto_k
from pyro_dcign.posterior.check import Effort, _coverage, measure
from pyro_dcign.posterior.ecdf import uniformity
from pyro_dcign.posterior.figures import write_check_figures
from pyro_dcign.posterior.findings import Findings, page
from pyro_dcign.posterior.predictive import predictive
from pyro_dcign.posterior.verdicts import FALSE_ALARMS, judge
from pyro_dcign.runs.run import build, write_run_config
from pyro_dcign.training.train import Trainer
from pyro_dcign.varying import standard_types

EFFORT = Effort(images=30, draws=1000, simulations=400, reference=1, reference_draws=250, refined=8)
PICTURES = ("khat", "sbc", "nuts", "loo-pit", "aggregate")
WRONG = {"halved": {"wider": 0.5}, "doubled": {"wider": 2.0}, "shifted": {"shift": 1.0}}


def linear_set(count=60):
    pixels, z = linear_images(count)
    truth = {"azimuth": 40 * z[:, 0], "light": 40 * z[:, 1]}
    return EvaluationSet(pixels, truth, torch.arange(count), {})


@pytest.fixture(scope="module")
def findings():
    made = {}

    def of(name):
        if name not in made:
            made[name] = measure(linear_run(**WRONG.get(name, {})), linear_set(), effort=EFFORT)
        return made[name]

    return of


def flagged(findings):
    return {(v.check, v.subject) for v in judge(findings) if v.ok is False}


def test_an_exact_guide_is_never_flagged(findings) -> None:
    found = findings("exact")
    assert flagged(found) == set()
    for block in ("joint", "extrinsic"):
        assert (pareto_k(found.arrays[block]) < 0.5).all()


def test_nuts_agrees_with_an_exact_guide_within_its_standard_error(findings) -> None:
    for verdict in judge(findings("exact")):
        if verdict.check == "nuts":
            assert verdict.ok is True
            assert verdict.figures["rhat"] < 1.05
            assert verdict.figures["shift"] < 4 * verdict.figures["shift_error"]
            log_ratio = abs(np.log(verdict.figures["sd_ratio"]))
            assert log_ratio < 4 * verdict.figures["ratio_error"]


@pytest.mark.parametrize(
    ("name", "checks"),
    [
        ("halved", {"pareto_k", "bound", "sbc", "nuts"}),
        ("doubled", {"bound", "amortisation_gap", "sbc", "nuts"}),
        ("shifted", {"sbc", "nuts"}),
    ],
)
def test_a_wrong_guide_is_flagged_by_the_checks_meant_for_it(findings, name, checks) -> None:
    found = flagged(findings(name))
    assert {check for check, _ in found} == checks
    assert ("sbc", "azimuth") in found
    assert ("nuts", "azimuth") in found
    if name == "shifted":  # azimuth alone was moved
        assert {subject for check, subject in found if check in ("sbc", "nuts")} == {"azimuth"}


@pytest.mark.parametrize(("times", "said"), [(0.7, "larger"), (1.0, ""), (1.4, "smaller")])
def test_residuals_are_held_against_the_noise_of_the_likelihood(times, said) -> None:
    run = linear_run()
    run.model.likelihood = lambda mean: dist.Normal(mean, times * NOISE, validate_args=False)
    shares, pit = predictive(run, linear_set(20).pixels)
    median = float(shares.median())
    assert (median > 0.99) == (said == "smaller")
    assert (median < 0.01) == (said == "larger")
    spread = float(pit.std()) * 12**0.5  # 1 for the uniform law; 1,280 pixels give it to 0.02
    assert (spread < 0.9) == (said == "smaller")
    assert (spread > 1.1) == (said == "larger")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("halved", ["overconfident about azimuth: sd 0.5", "the truth lies in its tails"]),
        ("doubled", ["too wide about azimuth: sd 2.0", "the truth lies in its middle"]),
        ("shifted", ["misplaces azimuth: its mean is off by ", "reads it too high"]),
    ],
)
def test_a_verdict_says_what_is_wrong_in_words(findings, name, words) -> None:
    text = page(judge(findings(name)))
    for expected in words:
        sentence, _, figure = expected.partition(": sd ")
        assert sentence in text, text
        if figure:
            # NUTS's own sd is an estimate: four standard errors of 400 effective draws.
            found = float(text.partition(f"{sentence}: sd ")[2].split()[0])
            assert found == pytest.approx(float(figure), rel=4 / (2 * 400) ** 0.5)


def coverage(name, findings, *, moved=0.0):
    """The verdict on azimuth of 200 images, beside what NUTS found on one."""
    run, images = linear_run(**WRONG.get(name, {})), linear_set(200)
    read = {"azimuth": lambda codes: 40 * codes[:, 0] + moved}
    found = _coverage(run, images.pixels, read, images.factors, 0)
    nuts = {k: v for k, v in findings(name).arrays.items() if k.startswith(("nuts", "guide"))}
    (verdict,) = (v for v in judge(Findings({**BLANK, **found, **nuts})) if v.check == "coverage")
    return verdict


BLANK = {"joint": np.zeros((100, 1))}


def test_intervals_of_an_exact_guide_hold_the_truth_as_often_as_they_say(findings) -> None:
    found = coverage("exact", findings)
    assert found.ok is True
    for level in (50, 90, 95):
        error = (level * (100 - level) / 200) ** 0.5 / 100
        # 4 standard errors and the 8 bits of a picture
        assert found.figures[f"inside_{level}"] == pytest.approx(level / 100, abs=4 * error)


@pytest.mark.parametrize(
    ("name", "moved", "words"),
    [
        ("halved", 0.0, "too narrow, and NUTS disagrees with the guide: the guide is wrong"),
        ("doubled", 0.0, "too wide, and NUTS disagrees with the guide: the guide is wrong"),
        ("exact", 30.0, "too narrow, and NUTS agrees with the guide: the model is wrong"),
    ],
)
def test_a_wrong_guide_is_told_from_a_wrong_model(findings, name, moved, words) -> None:
    found = coverage(name, findings, moved=moved)
    assert found.ok is False
    assert words in found.text


def test_findings_keep_their_verdicts_on_disk(findings, tmp_path) -> None:
    found = findings("halved")
    found = Findings(found.arrays, {"predictive": "no reason"})
    found.save(tmp_path / "check.npz")
    back = Findings.load(tmp_path / "check.npz")
    assert judge(back) == judge(found)
    json.dumps([dict(v.figures) for v in judge(back)], allow_nan=False)


def test_figures_are_drawn_of_what_was_measured(findings, tmp_path) -> None:
    names = [path.name for path in write_check_figures(findings("exact"), tmp_path)]
    assert names == [f"check-{n}.png" for n in PICTURES]
    refused = {n: a for n, a in findings("exact").arrays.items() if not n.startswith("sbc")}
    again = write_check_figures(Findings(refused, {"sbc": "because"}), tmp_path / "b")
    assert "check-sbc.png" not in [path.name for path in again]


def test_a_bernoulli_likelihood_is_not_asked_for_sbc() -> None:
    run = linear_run()
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, likelihood="bernoulli"))
    small = Effort(images=4, draws=100, reference=0, refined=2)
    found = measure(run, linear_set(), effort=small)
    said = {v.check: v for v in judge(found)}
    assert said["sbc"].ok is None
    assert "black and white noise" in said["sbc"].text
    assert said["predictive"].ok is None
    assert said["loo_pit"].ok is None
    assert "no outcome of a Bernoulli" in said["loo_pit"].text
    assert not found.factors("sbc")


def test_a_check_changes_nothing_and_repeats_itself() -> None:
    run = linear_run()
    small = Effort(images=4, draws=100, simulations=20, reference=1, reference_draws=20, refined=2)
    state = torch.get_rng_state()
    before = [p.clone() for p in run.modules.parameters()]
    first, second = (measure(run, linear_set(), effort=small).arrays for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(before, run.modules.parameters(), strict=True):
        assert torch.equal(a, b)
        assert b.grad is None
        assert b.requires_grad
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def test_uniform_ranks_leave_the_band_as_often_as_is_said() -> None:
    draw = np.random.default_rng(1)
    alarms = sum(uniformity(draw.random(400)).p <= 0.01 for _ in range(2000))
    # 20 expected of 2000; binomial(2000, 0.01) is within 4..40 but for 1 in 20,000
    assert 4 <= alarms <= 40


def test_the_band_is_left_where_the_test_rejects() -> None:
    draw = np.random.default_rng(2)
    for power in (1.0, 1.05, 1.1, 1.15, 1.2, 1.3):
        found = uniformity(draw.random(400) ** power, alpha=0.05)
        outside = (found.below < found.low) | (found.below > found.high)
        assert outside.any() == (found.p < 0.05), power


@pytest.mark.slow
def test_an_exact_guide_is_flagged_no_oftener_than_one_time_in_a_hundred() -> None:
    small = dataclasses.replace(EFFORT, images=10, reference=1, refined=4)
    alarms = 0
    for seed in range(100):
        found = measure(linear_run(), linear_set(), effort=small, seed=seed)
        alarms += bool(flagged(found))
    # binomial(100, 0.01) exceeds 5 once in 2,000
    assert alarms <= 5, FALSE_ALARMS


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    number = counts(standard_types(FakeScene().factors), train=4, intrinsic=8, test=6)
    folder = tmp_path_factory.mktemp("check")
    recipe = Recipe("fake", number, side=16, size=6)
    store = make(folder / "set", recipe, load, workers=1, quiet=True)
    config = Config(
        data=str(store.folder), side=16, encoder_maps=(4, 4), encoder_kernel=3,
        decoder_maps=(4, 4, 1), decoder_kernels=(3, 5), latents=6, steps=10, device="cpu",
        precision="float32", guide="full_rank", likelihood="continuous_bernoulli",
    )  # fmt: skip
    run = build(folder / "run", config, store.factors)
    write_run_config(run)
    for _ in Trainer(run, store).records():
        pass
    return run.folder


SMALL = ["--images", "4", "--draws", "100", "--simulations", "20", "--nuts-draws", "20"]


def test_the_command_prints_a_page_or_one_json_object_and_leaves_its_files(fitted) -> None:
    before = {p: p.read_bytes() for p in fitted.glob("checkpoints/**/*") if p.is_file()}
    result = CliRunner().invoke(
        app, ["check", str(fitted), *SMALL, "--nuts", "1", "--json"], catch_exceptions=False
    )
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert {v["check"] for v in said["verdicts"]} == {
        "pareto_k", "bound", "amortisation_gap", "sbc", "nuts", "predictive", "loo_pit",
        "aggregate", "active_units", "coverage",
    }  # fmt: skip
    assert said["flagged"] == sum(v["ok"] is False for v in said["verdicts"])
    names = {p.name for p in (fitted / "figures").glob("check-*.png")}
    assert names == {f"check-{n}.png" for n in PICTURES}
    assert "posterior" in arviz_bridge.groups(arviz_bridge.load(fitted / "posterior.nc"))
    assert len(judge(Findings.load(fitted / "check.npz"))) == len(said["verdicts"])
    assert all(p.read_bytes() == data for p, data in before.items())
    result = CliRunner().invoke(app, ["check", str(fitted), *SMALL, "--nuts", "0"])
    assert result.exit_code == 0
    assert "verdicts flagged" in result.stdout


def test_a_run_that_is_not_there_is_one_line(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["check", str(tmp_path / "nosuch")])
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
