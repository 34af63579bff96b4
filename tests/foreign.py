"""Small sets in others' formats, written bit for bit; each image's first bytes spell its number."""

import struct

import numpy as np
from PIL import Image


def numbered(n, side, *, first=0):
    """Ramps whose first four pixels are the number of the image, little-endian."""
    ramp = (np.arange(side * side) % 251).astype(np.uint8).reshape(side, side)
    out = np.repeat(ramp[None], n, 0)
    out[:, 0, :4] = (np.arange(n, dtype="<u4") + first).view(np.uint8).reshape(n, 4)
    return out


def number(pixels):
    """Numbers of images."""
    return np.ascontiguousarray(pixels[..., 0, :4]).view("<u4")[..., 0]


def colour(grey):
    return np.repeat(grey[..., None], 3, -1)


def axes(*sizes):
    return np.indices(sizes).reshape(len(sizes), -1)


# --- Torch7 --------------------------------------------------------------------------------------


def torch7_text(text):
    return struct.pack("<i", len(text)) + text


def torch7_tensor(values, *, kind=b"torch.FloatTensor", storage=b"torch.FloatStorage"):
    """As torch.save(path, tensor) of Lua Torch7 writes it in binary mode."""
    values = np.ascontiguousarray(values, "<f4")
    strides = [int(np.prod(values.shape[k + 1 :])) for k in range(values.ndim)]
    return b"".join(
        [
            struct.pack("<ii", 4, 1),
            torch7_text(b"V 1"),
            torch7_text(kind),
            struct.pack("<i", values.ndim),
            struct.pack(f"<{values.ndim}q", *values.shape),
            struct.pack(f"<{values.ndim}q", *strides),
            struct.pack("<q", 1),
            struct.pack("<ii", 4, 2),
            torch7_text(b"V 1"),
            torch7_text(storage),
            struct.pack("<q", values.size),
            values.tobytes(),
        ]
    )


def write_torch7(folder):
    start = 0
    for name in ("AZ", "EL", "LIGHT_AZ", "SHAPE"):
        for part, count in (("FT_training", 11), ("FT_test", 1)):
            where = folder / f"th_{name}_VARIED" / part
            where.mkdir(parents=True)
            for k in range(1, count + 1):
                images = numbered(4, 8, first=start)[:, None] / np.float32(255)
                (where / f"batch{k}").write_bytes(torch7_tensor(images))
                start += 4
    return folder


# --- smallNORB -----------------------------------------------------------------------------------


def norb_array(values):
    magic = {"uint8": 507333717, "int32": 507333716}[values.dtype.name]
    sizes = [*values.shape, 1, 1][: max(3, values.ndim)]
    head = struct.pack(f"<ii{len(sizes)}i", magic, values.ndim, *sizes)
    return head + values.astype(values.dtype.newbyteorder("<")).tobytes()


def write_smallnorb(folder):
    toy, elevation, azimuth, light = axes(4, 2, 3, 2)
    n = len(toy)
    for part, first in (("training", 0), ("testing", n)):
        stem = f"smallnorb-5x01235x9x18x6x2x96x96-{part}"
        left = numbered(n, 10, first=first)
        pair = np.stack((left, 255 - left), 1)
        info = np.stack((toy + 4 * (part == "testing"), elevation, 2 * azimuth, light), 1)
        (folder / f"{stem}-dat.mat").write_bytes(norb_array(pair))
        (folder / f"{stem}-cat.mat").write_bytes(norb_array((toy % 2).astype(np.int32)))
        (folder / f"{stem}-info.mat").write_bytes(norb_array(info.astype(np.int32)))
    both = [np.concatenate((a, a)) for a in (20.0 * azimuth, 30 + 5.0 * elevation, light)]
    return folder, dict(zip(("azimuth", "elevation", "light"), both, strict=True))


# --- archives and HDF5 ---------------------------------------------------------------------------


def write_3dshapes(folder):
    import h5py

    floor, wall, thing, scale, shape, turn = axes(2, 1, 2, 3, 2, 4)
    values = np.stack(
        (floor / 10, wall / 10, thing / 10, 0.75 + scale / 10, shape, -30 + 20.0 * turn), 1
    )
    with h5py.File(folder / "3dshapes.h5", "w") as file:
        file.create_dataset("images", data=colour(numbered(len(values), 64)))
        file.create_dataset("labels", data=values)
    return folder / "3dshapes.h5", {"azimuth": values[:, 5], "scale": values[:, 3]}


def dsprites_arrays():
    shape, scale, turn, x, y = axes(3, 2, 4, 2, 2)
    values = np.stack(
        (np.ones_like(x), shape + 1, 0.5 + scale / 10, turn * (2 * np.pi / 3), x / 31, y / 31), 1
    )
    # Binary pictures: the number in bits along the first row.
    bits = (np.arange(len(x))[:, None] >> np.arange(16)) & 1
    images = np.zeros((len(x), 64, 64), np.uint8)
    images[:, 0, :16], images[:, 10:20, 10:20] = bits, 1
    return {"imgs": images, "latents_values": values}


def write_dsprites(folder):
    arrays = dsprites_arrays()
    metadata = np.array({"author": "pickled"}, dtype=object)  # the real file has such a member
    np.savez_compressed(folder / "dsprites.npz", **arrays, metadata=metadata)
    values = arrays["latents_values"]
    turned = np.round(np.degrees(values[:, 3]), 6) % 360
    return folder / "dsprites.npz", {"orientation": turned, "scale": values[:, 2]}


SMALL_MPI3D = {
    "color": 2,
    "shape": 3,
    "size": 2,
    "camera": 2,
    "background": 1,
    "horizontal": 3,
    "vertical": 3,
}


def write_mpi3d(folder):
    grid = dict(zip(SMALL_MPI3D, axes(*SMALL_MPI3D.values()), strict=True))
    np.savez_compressed(folder / "mpi3d_toy.npz", images=colour(numbered(len(grid["color"]), 64)))
    return folder / "mpi3d_toy.npz", {n: grid[n] for n in ("horizontal", "vertical", "camera")}


def write_cars3d(folder):
    from scipy.io import savemat

    for car in range(10):
        images = numbered(96, 8, first=96 * car).reshape(24, 4, 8, 8)
        image = np.repeat(images.transpose(2, 3, 0, 1)[:, :, None], 3, 2)
        savemat(folder / f"car_{car:03d}_mesh.mat", {"im": image}, do_compression=car % 2 == 0)
    _, azimuth, elevation = axes(10, 24, 4)
    return folder, {"azimuth": 15.0 * azimuth, "elevation": elevation}


def plain_arrays():
    who, azimuth, light = axes(12, 5, 3)
    return {
        "images": numbered(len(who), 9),
        "identity": who + 100,
        "factor_azimuth": -30.5 + 10 * azimuth,
        "factor_light": light,
    }


def write_npz(folder):
    arrays = plain_arrays()
    np.savez(folder / "set.npz", **arrays)
    return folder / "set.npz", {n: arrays[f"factor_{n}"] for n in ("azimuth", "light")}


# --- pictures ------------------------------------------------------------------------------------


def write_folder(folder):
    who, azimuth, smile = axes(10, 4, 2)
    images = numbered(len(who), 12)
    lines = ["file,identity,azimuth,smile"]
    for k, image in enumerate(images):
        name = f"{'inner/' if k % 2 else ''}{k}.png"
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / name)
        lines.append(f"{name},person {who[k]},{azimuth[k] * 7.5},{smile[k]}")
    (folder / "factors.csv").write_text("\n".join(lines) + "\n")
    return folder, {"azimuth": 7.5 * azimuth, "smile": smile}


def write_aubry(folder):
    """Twelve chairs; every third view of the makers', whose numbering skips."""
    azimuth = []
    for chair in range(12):
        where = folder / f"{chair:032x}" / "renders"
        where.mkdir(parents=True)
        for k, (step, up) in enumerate((s, p) for p in (20, 30) for s in range(0, 31, 5)):
            image = Image.fromarray(colour(numbered(1, 150, first=len(azimuth))[0]))
            turn = int(360 / 31 * step)
            image.save(where / f"image_{2 * k:03d}_p{up:03d}_t{turn:03d}_r096.png")
            azimuth.append(360 / 31 * (step if step < 16 else step - 31))
    # Names sort by their number, which is the order in which they are written.
    (folder / "all_chair_names.mat").write_bytes(b"not a chair")
    return folder, {"azimuth": np.array(azimuth)}


WRITERS = {
    "aubry": write_aubry,
    "smallnorb": write_smallnorb,
    "3dshapes": write_3dshapes,
    "dsprites": write_dsprites,
    "mpi3d": write_mpi3d,
    "cars3d": write_cars3d,
    "npz": write_npz,
    "folder": write_folder,
}
