"""Is there a kink at azimuth 0? The paper's figure 7 (a) shows one, and calls it a switch.

At an angle c, a line is fitted to latent against angle on either side, 20 degrees wide. Their gap
at c is the *jump*; the slope of one line through both is the *slope*. Both are in shares of the
latent's whole run from end to end: an even code has jump 0 and slope 1 everywhere. Intervals are
bootstrapped over identities.
"""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from pyro_dcign.code import FactorRange
from pyro_dcign.measures.intervals import interval, resamples
from pyro_dcign.style import GREY, STYLE, blank, degrees

Array = NDArray[np.float64]
WIDTH = 20.0


def kink(codes: Tensor, angles: Tensor, identity: Tensor, limits: FactorRange) -> dict[str, Any]:
    """Jump and slope at 0 and along the range.

    Args:
        codes: The latent of each image.
        angles: True angle of each image, in degrees.
        identity: Who is shown.
        limits: The factor's range, which holds 0.

    Returns:
        ``jump`` and ``slope`` at 0 with 95 % intervals; ``elsewhere``, the largest |jump| at any
        other centre; ``centres`` with ``jumps`` and ``slopes``, an interval each.
    """
    z, x = codes.double().numpy(), angles.double().numpy()
    weights = resamples(identity.numpy())
    ends = np.linspace(limits.low + WIDTH, limits.high - WIDTH, 2)
    centres = [c for c in np.arange(-90.0, 91.0, 10.0) if ends[0] <= c <= ends[1]]
    tenth = (limits.high - limits.low) / 10
    run = _mean(weights, z, x > limits.high - tenth) - _mean(weights, z, x < limits.low + tenth)
    # From the middle of the last tenth to that of the first: nine tenths of the range.
    per_degree = run / (limits.high - limits.low - tenth)
    jumps, slopes = {}, {}
    with np.errstate(divide="ignore", invalid="ignore"):  # a constant latent runs nowhere
        for c in centres:
            left, right = (x > c - WIDTH) & (x <= c), (x > c) & (x < c + WIDTH)
            sides = [_line(weights, x - c, z, side)[0] for side in (left, right)]
            jumps[c] = interval((sides[1] - sides[0]) / run)
            slopes[c] = interval(_line(weights, x - c, z, left | right)[1] / per_degree)
    others = [abs(jumps[c]["value"]) for c in centres if c]
    return {
        "jump": jumps[0.0],
        "slope": slopes[0.0],
        "elsewhere": max(others),
        "centres": [float(c) for c in centres],
        "jumps": [jumps[c] for c in centres],
        "slopes": [slopes[c] for c in centres],
    }


def _mean(weights: Array, values: Array, where: NDArray[np.bool_]) -> Array:
    w = weights * where
    found: Array = w @ values / np.maximum(w.sum(1), 1e-12)
    return found


def _line(weights: Array, x: Array, z: Array, where: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Intercept and slope of a weighted line, for each row of weights."""
    mx, mz = _mean(weights, x, where), _mean(weights, z, where)
    cross = _mean(weights, x * z, where) - mx * mz
    slope = cross / np.maximum(_mean(weights, x * x, where) - mx**2, 1e-12)
    return mz - slope * mx, slope


def kinks(found: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Jump and slope along the azimuth, a line for each run and a colour for each row."""
    rows = list(dict.fromkeys(name.rpartition("-seed")[0] for name in found))
    colours = dict(zip(rows, sns.color_palette("colorblind", len(rows)), strict=True))
    with mpl.rc_context(STYLE):
        figure = blank(8.2, 3.2)
        axes = figure.subplots(1, 2)
        looks = {"jumps": ("Gap between both sides", 0.0), "slopes": ("Slope", 1.0)}
        for ax, (key, (title, even)) in zip(axes, looks.items(), strict=True):
            ax.axhline(even, color=GREY, lw=1, ls="--")
            ax.axvline(0, color=GREY, lw=0.6)
            for name, one in found.items():
                row = name.rpartition("-seed")[0]
                colour = colours[row]
                values = [[entry[k] for entry in one[key]] for k in ("value", "low", "high")]
                ax.plot(one["centres"], values[0], color=colour, lw=1.2, label=row)
                ax.fill_between(one["centres"], *values[1:], color=colour, alpha=0.15, lw=0)
            ax.xaxis.set_major_formatter(lambda v, _: degrees(v))
            ax.set(title=f"{title}, share of the whole run", xlabel="true azimuth")
            sns.despine(ax=ax, offset=4)
        named = dict(zip(*axes[0].get_legend_handles_labels()[::-1], strict=True))
        axes[0].legend(named.values(), named)
        figure.tight_layout()
    return figure
