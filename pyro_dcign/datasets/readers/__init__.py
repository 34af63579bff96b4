"""Readers of others' formats: each opens a set as a :class:`~.source.Source` of labelled images.

To add one, write a module with a function ``source(path)`` and name it in :data:`KINDS`.
"""

KINDS = {
    "aubry": "rendered_chairs (Aubry et al. 2014): azimuth; elevation on request",
    "torch7": "the authors' face minibatches: azimuth, elevation, light; no labels",
    "smallnorb": "smallNORB (LeCun et al. 2004): azimuth, elevation, light; photographs",
    "3dshapes": "3D Shapes: azimuth, scale; hues on request",
    "dsprites": "dSprites: orientation, scale; x and y on request",
    "mpi3d": "MPI3D: horizontal, vertical, camera; colours and sizes on request",
    "cars3d": "Cars3D (Reed et al. 2015): azimuth, elevation",
    "npz": "the plain form: images, identity, factor_<name>",
    "folder": "pictures and a table factors.csv: file, identity and a column for each factor",
}
"""What ``data import`` reads, and the factors that each kind has by default."""
