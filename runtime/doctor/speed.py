"""How fast this machine computes: a step of the built-in model, and one layer of FLUX.1's width."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from run_graph.runtime.doctor.reference import transformer_step

if TYPE_CHECKING:
    from run_graph.runtime.models.store import ModelStore

_WIDTH, _TOKENS = 3072, 512
_SECONDS, _REPEATS = 0.5, 20  # of one measurement, at most

# Multiplications and additions of a step of FLUX.1 at 1024 x 1024 with 512 tokens of text: 57 blocks of 12
# matrices of 3072 x 3072, and attention over 4608 tokens.
_SEQUENCE = 4096 + 512
_STEP = 57 * _SEQUENCE * (2 * 12 * _WIDTH**2 + 4 * _SEQUENCE * _WIDTH)


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes
    ----------
    tiny_step : float
        Seconds of a step of the built-in model at 96 x 96 pixels.
    layer_flops : float
        Operations a second of a linear layer of FLUX.1's width.
    """

    tiny_step: float
    layer_flops: float

    @property
    def flux_step(self) -> float:
        """Seconds that a step of FLUX.1 at 1024 x 1024 takes at least, if all of it ran like that layer."""
        return _STEP / self.layer_flops


def measure(store: ModelStore) -> Speed:
    """Measure both; takes about a second."""
    return Speed(_median(transformer_step(store)), 2 * _TOKENS * _WIDTH**2 / _median(_layer()))


def _layer() -> Callable[[], object]:
    import mlx.core as mx
    import mlx.nn as nn

    from run_graph.runtime.device import compute_dtype
    from run_graph.runtime.models.assembly import Part
    from run_graph.runtime.networks.cpu import use_numpy_linears

    dtype = compute_dtype()
    layer = nn.Linear(1, 1, bias=False)
    layer.weight = mx.ones((_WIDTH, _WIDTH), dtype)
    holder = Part()
    holder["layer"] = layer
    use_numpy_linears(holder)
    given = mx.ones((_TOKENS, _WIDTH), dtype)
    mx.eval(layer.weight, given)
    return lambda: mx.eval(holder["layer"](given))


def _median(work: Callable[[], object]) -> float:
    """Seconds that `work` takes, after a first time that prepares it."""
    work()
    times: list[float] = []
    while not times or (sum(times) < _SECONDS and len(times) < _REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
