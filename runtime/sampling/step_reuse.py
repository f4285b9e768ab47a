"""Skip the network where its input has hardly changed: TeaCache (Liu et al., arXiv 2411.19108).

What the blocks do to the image tokens changes little between some neighbouring evaluations. How much it
changes can be predicted from the input of the first block's attention, which costs next to nothing: the
relative L1 distance between two successive inputs, put through a polynomial that was fitted to FLUX.1-dev so
that it predicts the distance between the outputs. The predictions are added up; while the sum is below the
threshold, the change that the blocks made when they last ran is added again.
"""

import mlx.core as mx
import numpy as np

from run_graph.runtime.networks.modulation import Modulation
from run_graph.runtime.networks.transformer import FluxTransformer, Prepared

# Highest power first. From github.com/ali-vilab/TeaCache, TeaCache4FLUX/teacache_flux.py.
FLUX_POLYNOMIAL = (4.98651651e02, -2.83781631e02, 5.58554382e01, -3.82021401e00, 2.64230861e-01)


class StepReuse:
    """The evaluations of one sampling, some of which reuse an earlier one.

    The first evaluation and those of the last step always run the network. After one that ran it, all that
    is remembered follows from that evaluation's latents. A loop that begins there therefore continues as
    the uninterrupted one did.

    Parameters
    ----------
    transformer, prepared
        The network and what it prepared.
    threshold
        Above 0. TeaCache's authors give 0.25, 0.4, 0.6 and 0.8 for 1.5, 1.8, 2 and 2.25 times the speed
        with FLUX.1-dev.
    """

    def __init__(self, transformer: FluxTransformer, prepared: Prepared, threshold: float) -> None:
        self._transformer = transformer
        self._prepared = prepared
        self._threshold = threshold
        self._distance = 0.0  # Predicted, since the network last ran.
        self._input: mx.array | None = None  # The first block's, at the evaluation before.
        self._change: mx.array | None = None  # Of the image tokens through the blocks, when they last ran.

    def step(self, latents: mx.array, modulation: Modulation, is_last: bool) -> tuple[mx.array, bool]:
        """Velocity (B, h * w, 64) of packed latents, and whether it was reused."""
        image = self._transformer.embed(latents)
        reused = self._is_near(self._transformer.first_input(image, modulation)) and not is_last
        if reused and self._change is not None:
            return self._transformer.project(image + self._change, modulation), True
        after = self._transformer.blocks(image, modulation, self._prepared)
        self._change = after - image
        self._distance = 0.0
        return self._transformer.project(after, modulation), False

    def _is_near(self, seen: mx.array) -> bool:
        """Whether the blocks' output is predicted to be near the last computed one's."""
        before, self._input = self._input, seen
        if before is None:
            return False
        self._distance += predicted_distance(relative_distance(seen, before))
        return self._distance < self._threshold


def relative_distance(new: mx.array, old: mx.array) -> float:
    """Mean |new - old| over mean |old|, the means taken in float32."""
    new, old = new.astype(mx.float32), old.astype(mx.float32)
    ratio = mx.abs(new - old).mean() / mx.abs(old).mean()
    return float(np.array(ratio))


def predicted_distance(distance: float) -> float:
    """Relative L1 distance of the blocks' outputs, predicted from that of the first block's inputs."""
    return float(np.polyval(FLUX_POLYNOMIAL, distance))
