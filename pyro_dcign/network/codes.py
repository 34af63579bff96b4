"""The codes that a network gives to pictures."""

from typing import Any, final

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.errors import InputError
from pyro_dcign.images import Pixels, intensities
from pyro_dcign.measures import Familiarity, errors_of, judged
from pyro_dcign.runs import IMAGES_AT_ONCE, Codes, draw_codes, encode, undisturbed

_DRAWS = 1000


@final
class Code:
    """The posterior q(z | x) of the graphics code of each picture, as the guide gives it.

    Example:
        >>> import pyro_dcign as dcign
        >>> net = dcign.load("faces", device="cpu")
        >>> code = net.encode(net.sample(2, prior="model"))
        >>> code.mean.shape == (2, net.latents), code.sample(5).shape == (5, 2, net.latents)
        (True, True)
        >>> code.to_frame().columns.tolist()
        ['image', 'factor', 'value', 'low', 'high']
    """

    def __init__(self, net: Any, pixels: Pixels) -> None:
        self._net, self.pixels = net, pixels
        self.mean: Codes = encode(net.run, pixels)
        """Posterior means, (images, latents)."""
        self._sd: Codes | None = None

    def __len__(self) -> int:
        return len(self.mean)

    def __repr__(self) -> str:
        return f"Code({len(self)} of {self.mean.shape[1]} latents: {', '.join(self._net.factors)})"

    def _repr_html_(self) -> str | None:
        """The table of the factors; none where the network has no calibration."""
        try:
            return str(self.to_frame().round(2).to_html(index=False))
        except InputError:
            return None

    @property
    def sd(self) -> Codes:
        """Posterior standard deviations, from 1,000 draws: within some 2 % of their values."""
        if self._sd is None:
            self._sd = self.sample(_DRAWS).std(0)
        return self._sd

    @property
    def familiarity(self) -> list[Familiarity]:
        """How each picture's reconstruction error compares with those of test images.

        Raises:
            InputError: A network whose calibration does not have the test images' errors.
        """
        quantiles = self._net.calibration.familiarity
        if not quantiles:
            raise InputError(
                f"{self._net.run.folder} is to hold errors of test images, but has none; remove "
                "its calibration.json and evaluate it with its data"
            )
        return [judged(error, quantiles) for error in errors_of(self._net.run, self.pixels)]

    def sample(self, draws: int = 1, *, seed: int = 0) -> Float[Tensor, "draws images latents"]:
        """Draws of each picture's code.

        Raises:
            InputError: Fewer than one draw.
        """
        if draws < 1:
            raise InputError(f"draws are to be 1 or more, got {draws}; raise the number")
        run = self._net.run
        with undisturbed(run, seed=seed):
            chunks = self.pixels.split(IMAGES_AT_ONCE)
            parts = [draw_codes(run, intensities(c.to(run.device)), draws).cpu() for c in chunks]
        return torch.cat(parts, 1)

    def to_frame(self, *, prob: float = 0.9, draws: int = _DRAWS, seed: int = 0) -> pd.DataFrame:
        """A row for each picture and calibrated factor, in the factor's own unit.

        ``value`` is what the posterior mean stands for, ``low`` and ``high`` bound the central
        interval of that probability over draws. On a full circle they go on past its ends, so that
        ``low`` stays below ``high``.

        Raises:
            InputError: A network without a calibration, or a probability outside (0, 1).
        """
        if not 0 < prob < 1:
            raise InputError(f"prob is to lie between 0 and 1, got {prob:g}; try 0.9")
        calibration, drawn = self._net.calibration, self.sample(draws, seed=seed)
        rows = []
        for factor, curve in calibration.curves.items():
            values = calibration.factor_values(factor, self.mean).double().numpy()
            for image, value in enumerate(values.tolist()):
                reads = calibration.factor_values(factor, drawn[:, image]).double().numpy()
                if curve.period:
                    half = curve.period / 2
                    reads = value + (reads - value + half) % curve.period - half
                low, high = np.quantile(reads, [(1 - prob) / 2, (1 + prob) / 2]).tolist()
                rows.append((image, factor, value, low, high))
        rows.sort(key=lambda row: row[0])
        return pd.DataFrame(rows, columns=["image", "factor", "value", "low", "high"])
