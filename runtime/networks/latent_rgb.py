"""Quick pictures of latents by a linear map, without the autoencoder: one pixel for each of 8 x 8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class LatentRgb:
    """A linear map from latents to colours.

    Attributes
    ----------
    factors : sequence of 16 rows (red, green, blue)
        What each channel of a latent in the transformer's scale adds to a colour in [-1, 1].
    bias : (red, green, blue)
    """

    factors: Sequence[Sequence[float]]
    bias: Sequence[float]

    def pictures(self, latents: Any) -> npt.NDArray[np.uint8]:
        """Latents (B, h, w, 16) in the transformer's scale, of any library -> (B, h, w, 3), 0 to 255."""
        factors, bias = np.array(self.factors, np.float32), np.array(self.bias, np.float32)
        values = np.asarray(latents, dtype=np.float32) @ factors + bias
        return np.asarray(np.clip((values + 1) * 127.5, 0, 255).astype(np.uint8))


@dataclass(frozen=True, eq=False)
class LatentPicture:
    """Latents that can be shown: calling it computes the pictures.

    Attributes
    ----------
    colours : LatentRgb
    latents : array (B, h, w, 16)
        In the transformer's scale. MLX may not have computed them yet.
    """

    colours: LatentRgb
    latents: Any

    def __call__(self) -> npt.NDArray[np.uint8]:
        """The pictures (B, h, w, 3), 0 to 255."""
        return self.colours.pictures(self.latents)

    def __reduce__(self) -> tuple[Any, ...]:
        return LatentPicture, (self.colours, np.asarray(self.latents, dtype=np.float32))


# Of FLUX.1's autoencoder: ComfyUI's latent format "Flux" publishes these values; InvokeAI uses them too.
FLUX_RGB = LatentRgb(
    factors=(
        (-0.0346, 0.0244, 0.0681),
        (0.0034, 0.0210, 0.0687),
        (0.0275, -0.0668, -0.0433),
        (-0.0174, 0.0160, 0.0617),
        (0.0859, 0.0721, 0.0329),
        (0.0004, 0.0383, 0.0115),
        (0.0405, 0.0861, 0.0915),
        (-0.0236, -0.0185, -0.0259),
        (-0.0245, 0.0250, 0.1180),
        (0.1008, 0.0755, -0.0421),
        (-0.0515, 0.0201, 0.0011),
        (0.0428, -0.0012, -0.0036),
        (0.0817, 0.0765, 0.0749),
        (-0.1264, -0.0522, -0.1103),
        (-0.0280, -0.0881, -0.0499),
        (-0.1262, -0.0982, -0.0778),
    ),
    bias=(-0.0329, -0.0718, -0.0851),
)
