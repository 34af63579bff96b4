"""Reading and writing files, whole or from strangers; knows nothing of the project."""

from pyro_dcign.files.disk import LOCK, digest, locked, naming, sync, whole, write_whole
from pyro_dcign.files.hdf5 import datasets
from pyro_dcign.files.matlab import variables
from pyro_dcign.files.npz import Array, archive
from pyro_dcign.files.picture import (
    FORMATS,
    LUMA,
    READING,
    grey_picture,
    head_in,
    is_photograph,
    opened,
    parse_crop,
    read_grey,
    read_picture,
    squared,
)
from pyro_dcign.files.untrusted import content, parse_json

__all__ = [
    "FORMATS", "LOCK", "LUMA", "READING", "Array", "archive", "content", "datasets", "digest",
    "grey_picture", "head_in", "is_photograph", "locked", "naming", "opened", "parse_crop",
    "parse_json", "read_grey", "read_picture", "squared", "sync", "variables", "whole",
    "write_whole",
]  # fmt: skip
