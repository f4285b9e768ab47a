"""PatchDownsample compared with a Python loop that slices and averages for each token."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import mlx.core as mx
from threadpoolctl import threadpool_limits

from benchmarks.report import Section, Table
from benchmarks.timing import alternate
from run_graph.runtime.networks.token_counts import MODES, grid_for_mode
from run_graph.runtime.networks.token_grid import resize_grid

SIDE, CHANNELS = 27, 4096

_TEXT = """\
Redux's real grid size, 27 x 27 tokens of 4,096 channels, float32, area interpolation. *loop*: the obvious
implementation, which slices the old tokens under each new one, takes their mean, and stacks all means.
Milliseconds of the processor, with one BLAS thread; the results are compared. *ratio* is our time over the
loop's, taken round by round.
"""


def measure(quick: bool) -> Section:
    """Every mode."""
    with threadpool_limits(1, user_api="blas"):
        return _measured(quick)


def _measured(quick: bool) -> Section:
    tokens = mx.random.normal((1, SIDE * SIDE, CHANNELS), key=mx.random.key(0))
    mx.eval(tokens)
    rows = []
    for mode in MODES:
        n = grid_for_mode(mode, SIDE)
        assert mx.allclose(resize_grid(tokens, n, "area"), naive(tokens, n), atol=1e-5).item()
        timings = alternate(
            {
                "ours": partial(_evaluated, resize_grid, tokens, n),
                "loop": partial(_evaluated, naive, tokens, n),
            },
            rounds=5 if quick else 41,
            clock=time.process_time,
        )
        ours, loop = timings["ours"], timings["loop"]
        rows.append([mode, str(n * n), ours.shown(1e-3), loop.shown(1e-3), f"{ours.ratio(loop):.3f}"])
    headings = ["mode", "tokens", "ours, ms", "loop, ms", "ratio"]
    return Section("PatchDownsample", _TEXT, [Table(headings, rows)], ["mlx"])


def _evaluated(resize: Callable[[mx.array, int], mx.array], tokens: mx.array, n: int) -> None:
    mx.eval(resize(tokens, n))


def naive(tokens: mx.array, n: int) -> mx.array:
    """Average each window of the grid separately: (1, m * m, D) -> (1, n * n, D)."""
    m = round(tokens.shape[1] ** 0.5)
    grid = tokens.reshape(1, m, m, -1)
    windows = [(i * m // n, -(-(i + 1) * m // n)) for i in range(n)]
    means = [
        grid[:, top:bottom, left:right].mean(axis=(1, 2))
        for top, bottom in windows
        for left, right in windows
    ]
    return mx.stack(means, axis=1)
