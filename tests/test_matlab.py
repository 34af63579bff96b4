"""MATLAB 5 files: what SciPy writes is read, array by array and column by column."""

import numpy as np
import pytest
from scipy.io import savemat

from pyro_dcign.errors import InputError
from pyro_dcign.files.matlab import variables

KINDS = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")


def arrays():
    g = np.random.default_rng(0)
    found = {kind: g.integers(0, 100, (5, 7)).astype(kind) for kind in KINDS}
    return found | {
        "im": g.integers(0, 256, (4, 3, 3, 2, 5)).astype(np.uint8),
        "small": np.uint8([[7]]),  # stands within its tag
        "none": np.zeros((0, 3)),
    }


@pytest.mark.parametrize("packed", [False, True])
def test_numbers_are_read_as_they_were_written(packed, tmp_path):
    others = {"cell": np.array([[1, 2]], object), "text": "abc", "complex": np.array([[1j]])}
    others["structure"] = {"a": 1}
    savemat(tmp_path / "a.mat", {**others, **arrays()}, do_compression=packed)
    with variables(tmp_path / "a.mat") as found:
        assert set(found) == set(arrays())
        for name, wanted in arrays().items():
            assert found[name].shape == wanted.shape
            assert found[name].read().dtype == found[name].dtype == wanted.dtype
            assert np.array_equal(found[name].read(), wanted)
        assert np.array_equal(found["f4"].read(3), arrays()["f4"][:, :3])


def test_a_flipped_byte_of_a_compressed_array_is_found(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    savemat(tmp_path / "a.mat", {"im": values}, do_compression=True)
    sound = (tmp_path / "a.mat").read_bytes()
    for at in range(len(sound) - 1000, len(sound), 37):
        changed = bytearray(sound)
        changed[at] ^= 16
        (tmp_path / "a.mat").write_bytes(changed)
        with (
            pytest.raises(InputError, match=r"a\.mat: expected an undamaged MATLAB 5 file"),
            variables(tmp_path / "a.mat") as found,
        ):
            found["im"].read()


def test_a_file_of_another_version_says_what_to_do(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(512))
    with pytest.raises(InputError, match="save it with -v7"), variables(tmp_path / "a.mat"):
        pass
