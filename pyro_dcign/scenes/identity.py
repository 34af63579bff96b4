"""Numbers of a person from one integer, the same on every machine."""

import numpy as np
from jaxtyping import Float64, Int64, UInt64
from numpy import ndarray
from torch import Tensor

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: UInt64[ndarray, "..."]) -> UInt64[ndarray, "..."]:
    """Finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: UInt64[ndarray, ...] = x ^ (x >> np.uint64(31))
    return mixed


def words(
    identity: Int64[Tensor, " people"], *, stream: int, count: int
) -> UInt64[ndarray, "people count"]:
    """64 random bits for each person and each counter; ``stream`` names their purpose."""
    with np.errstate(over="ignore"):
        seed = identity.detach().cpu().numpy().astype(np.int64).view(np.uint64)
        seed = _mix(_mix(seed + _GAMMA) + np.uint64(stream) * _GAMMA)
        counter = np.arange(1, count + 1, dtype=np.uint64) * _GAMMA
        return _mix(seed[:, None] + counter)


def uniform(
    identity: Int64[Tensor, " people"], *, stream: int, count: int
) -> Float64[ndarray, "people count"]:
    """Draws from [0, 1)."""
    bits = words(identity, stream=stream, count=count) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def normal(
    identity: Int64[Tensor, " people"], *, stream: int, count: int
) -> Float64[ndarray, "people count"]:
    """Draws of mean 0 and variance 1: twelve 16-bit uniforms summed (Irwin-Hall).

    Integers only, so no machine's logarithm or cosine has a say; the tails end sooner than a
    Gaussian's (beyond 3: 0.2 %), which keeps faces human.
    """
    bits = words(identity, stream=stream, count=3 * count)
    halves = bits.view(np.uint16).reshape(len(bits), count, 12)
    total: Float64[ndarray, "people count"] = (halves.astype(np.int64).sum(-1) + 6) / 2.0**16 - 6
    return total
