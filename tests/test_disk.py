"""Laws of files and folders: whole or as before, and one run in a folder at a time."""

import subprocess
import sys
import threading

import pytest

from pyro_dcign.errors import InputError
from pyro_dcign.files import disk
from pyro_dcign.files.disk import LOCK, locked, write_whole


def test_a_file_is_replaced_whole(tmp_path) -> None:
    write_whole(tmp_path / "a", "one")
    write_whole(tmp_path / "a", b"two")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "two"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch) -> None:
    write_whole(tmp_path / "a", "one")

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "sync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a", "two")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "one"


def hold(folder):
    with locked(folder):
        pass


def refused(folder):
    try:
        hold(folder)
    except InputError:
        return True
    return False


def test_a_folder_is_held_by_one_in_the_same_process(tmp_path) -> None:
    with locked(tmp_path / "run"):
        with pytest.raises(InputError, match="one run at a time, but another holds it"):
            hold(tmp_path / "run")
        found = []
        thread = threading.Thread(target=lambda: found.append(refused(tmp_path / "run")))
        thread.start()
        thread.join()
        assert found == [True]
        hold(tmp_path / "other")
    hold(tmp_path / "run")


def test_a_folder_is_free_again_when_its_holder_is_killed(tmp_path) -> None:
    code = "import sys, time; from pathlib import Path; from pyro_dcign.files.disk import locked\n"
    code += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    line = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another holds it"):
            hold(tmp_path / "run")
        holder.kill()
    hold(tmp_path / "run")


def test_folders_made_for_nothing_are_removed(tmp_path) -> None:
    hold(tmp_path / "runs" / "a")
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "runs" / "a"):
        (tmp_path / "runs" / "a" / "config.toml").touch()
    assert {p.name for p in (tmp_path / "runs" / "a").iterdir()} == {"config.toml", LOCK}


def test_a_file_in_the_folders_place_is_refused(tmp_path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(InputError, match="is to be a folder, but is a file"):
        hold(tmp_path / "run")
