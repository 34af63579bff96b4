"""Reading and writing files, whole or from strangers; knows nothing of the project."""

from pyro_dcign.files.disk import LOCK, digest, locked, naming, sync, whole, write_whole
from pyro_dcign.files.hdf5 import datasets
from pyro_dcign.files.matlab import variables
from pyro_dcign.files.npz import Array, archive
from pyro_dcign.files.picture import FORMATS, opened, read_picture
from pyro_dcign.files.untrusted import content, parse_json

__all__ = [
    "FORMATS", "LOCK", "Array", "archive", "content", "datasets", "digest", "locked", "naming",
    "opened", "parse_json", "read_picture", "sync", "variables", "whole", "write_whole",
]  # fmt: skip
