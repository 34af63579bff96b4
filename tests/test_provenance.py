"""Laws of derived files: each knows which parameters and data it was made from."""

import dataclasses
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from blobs import NETWORK, blobs, imported
from tiny import trained

from pyro_dcign.datasets.labelled import evaluation_set, read_npz
from pyro_dcign.errors import InputError
from pyro_dcign.measures.calibration import open_calibration, read_calibration
from pyro_dcign.measures.evaluation import evaluate
from pyro_dcign.measures.reporting import MEASURES, report, share
from pyro_dcign.measures.tables import table
from pyro_dcign.runs.checkpoint import load_parameters
from pyro_dcign.runs.provenance import CALIBRATION, origin_of, own_store, trained_identities
from pyro_dcign.runs.run import untrained_run, write_run_config


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A set, and a run on it of 20 steps with its report, that went on to 40 without one."""
    folder = tmp_path_factory.mktemp("home")
    store = imported(folder)
    config = dataclasses.replace(NETWORK, data=str(store.folder), steps=20)
    early = trained(folder / "run", store, config)
    write_run_config(early)
    report(early, store)
    shutil.copytree(folder / "run", folder / "early")
    later = trained(folder / "run", store, dataclasses.replace(config, steps=40), resume=True)
    write_run_config(later)
    return folder


@pytest.fixture
def folder(home, tmp_path):
    shutil.copytree(home / "run", tmp_path / "run")
    return tmp_path / "run"


def opened(folder, checkpoint=None):
    run = untrained_run(folder)
    load_parameters(run, checkpoint)
    return run


def test_a_calibration_of_fewer_steps_is_made_anew(folder):
    run = opened(folder)
    assert read_calibration(run).origin.step == 20
    made = open_calibration(run)
    assert made.origin == origin_of(run, own_store(run).digest)
    assert made.origin.step == 40
    assert read_calibration(run) == made


def test_a_calibration_of_fewer_steps_is_refused_where_the_data_are_away(folder):
    run = opened(folder)
    away = dataclasses.replace(run, config=dataclasses.replace(run.config, data="/nowhere/at/all"))
    with pytest.raises(InputError, match=r"is to be of step 40.* but is of step 20"):
        open_calibration(away)


def test_an_older_checkpoint_has_a_calibration_of_its_own(folder):
    newest = open_calibration(opened(folder))
    older = open_calibration(opened(folder, folder / "checkpoints" / "step-000000020"))
    assert (older.origin.step, newest.origin.step) == (20, 40)
    assert older.curves != newest.curves
    assert read_calibration(opened(folder)) == newest


def test_a_calibration_that_says_nothing_is_taken_until_training_goes_on(folder, home):
    shutil.rmtree(folder)
    shutil.copytree(home / "early", folder)
    held = json.loads((folder / CALIBRATION).read_text())
    del held["of"]
    (folder / CALIBRATION).write_text(json.dumps(held))
    run = opened(folder)
    assert open_calibration(run).origin is None
    trained(folder, own_store(run), dataclasses.replace(run.config, steps=30), resume=True)
    assert not (folder / CALIBRATION).exists()


def test_measures_and_card_say_of_which_parameters_they_are(home):
    run = opened(home / "early")
    said = json.loads((home / "early" / MEASURES).read_text())["of"]
    assert (said["parameters"], said["step"]) == (origin_of(run).parameters, 20)
    assert f"step 20, parameters {said['parameters'][:12]}" in (
        home / "early" / "MODEL_CARD.md"
    ).read_text(encoding="utf-8")


def test_a_shared_network_keeps_its_calibration(home, tmp_path):
    run = opened(home / "early")
    share(run, own_store(run), {**json.loads((home / "early" / MEASURES).read_text())}, tmp_path)
    theirs = opened(tmp_path)
    assert open_calibration(theirs) == read_calibration(run)
    assert trained_identities(theirs, evaluation_set(own_store(run))) == set()


def test_other_data_in_the_place_of_the_runs_are_refused(folder, tmp_path):
    store = imported(tmp_path / "other", seed=1)
    run = opened(folder)
    moved = dataclasses.replace(run, config=dataclasses.replace(run.config, data=str(store.folder)))
    with pytest.raises(InputError, match=r"but .* holds others"):
        own_store(moved)
    with pytest.raises(InputError, match="holds others"):
        open_calibration(moved)


def test_only_the_own_test_split_is_said_to_be_unseen(home):
    run = opened(home / "early")
    store = own_store(run)
    test, train = evaluation_set(store), evaluation_set(store, "train")
    assert trained_identities(run, test) == set()
    assert trained_identities(run, train) == set(train.identity.tolist())


def test_the_imported_file_itself_shows_who_was_trained_on(home):
    run = opened(home / "early")
    images = read_npz(home / "set.npz")
    wanted = set(own_store(run).identities("train").tolist())
    assert trained_identities(run, images) == wanted
    found = evaluate(run, images, open_calibration(run))
    assert found["trained_on"] == len(wanted) == 6
    assert "8 identities (6 trained on)" in table(found)


def test_of_people_from_elsewhere_nothing_is_claimed(home, tmp_path):
    np.savez(tmp_path / "o.npz", **blobs(seed=3))
    run = opened(home / "early")
    found = evaluate(run, read_npz(tmp_path / "o.npz"), open_calibration(run))
    assert found["trained_on"] is None
    assert "never trained on" not in table(found)
    assert "is not known" in table(found)


def test_a_relative_path_means_the_same_data_everywhere(home, tmp_path, monkeypatch, run):
    settings = {k: v for k, v in vars(NETWORK).items() if k != "data"}
    lines = [
        f"{k} = {json.dumps(list(v) if isinstance(v, tuple) else v)}" for k, v in settings.items()
    ]
    (tmp_path / "c.toml").write_text("\n".join(lines))
    monkeypatch.chdir(home)
    words = ["--config", tmp_path / "c.toml", "--steps", 1, "--out", tmp_path / "r", "--no-report"]
    assert run("fit", "--data", "set", *words)[0] == 0
    monkeypatch.chdir(tmp_path)
    imported(tmp_path, seed=5)  # another set of the same name
    assert own_store(untrained_run(tmp_path / "r")).folder == home / "set"


def test_evaluate_writes_what_it_prints(folder, run):
    status, out, _ = run("evaluate", folder, "--json")
    assert status == 0
    written = json.loads((folder / "evaluation.json").read_text())
    assert json.loads(out).items() <= written.items()
    assert written["of"]["step"] == 40


def test_a_run_survives_pickle_and_vmap(home):
    made = opened(home / "early")
    again = pickle.loads(pickle.dumps(made))
    z = torch.randn(3, 1, made.code.latents)
    with torch.no_grad():
        assert torch.equal(again.model.decode(z), made.model.decode(z))
        each = torch.func.vmap(made.model.decoder)(z)
        assert torch.allclose(each, made.model.decoder(z), atol=1e-5)
