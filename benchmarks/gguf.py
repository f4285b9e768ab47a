"""How long the weights of a GGUF file take to get ready, by type."""

from __future__ import annotations

import time
from functools import partial

import mlx.core as mx
import numpy as np
from gguf import GGMLQuantizationType, quants

from benchmarks.report import Section, Table
from benchmarks.timing import alternate
from run_graph.runtime.models.layouts.gguf_blocks import packed
from run_graph.runtime.models.layouts.gguf_types import BLOCK_TYPES

ROWS, COLUMNS = 12288, 3072  # of a feed-forward layer
FLUX_WEIGHTS, T5_WEIGHTS = 11.9e9, 4.76e9
# Where a block holds float16 scales, which must be numbers.
SCALES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,)}

_TEXT = """\
From the bytes of a layer of FLUX.1 (12,288 x 3,072 weights) to a weight that MLX computes with packed.
*gguf*: llama.cpp's own Python package, which decodes to float32 with numpy, on 1,024 of the rows. Seconds of
processor time, all threads together, per billion weights; reading the file is not among them. The last
columns multiply ours by FLUX.1's 11.9 billion weights and T5's 4.76 billion.
"""


def measure(quick: bool) -> Section:
    """Every type that is read."""
    rows = []
    for kind in list(BLOCK_TYPES)[:2] if quick else BLOCK_TYPES:
        content = _content(kind)
        few = content[: len(content) // 12].reshape(1024, -1)
        timings = alternate(
            {
                "ours": partial(_evaluated, mx.array(content), kind),
                "gguf": partial(quants.dequantize, few, GGMLQuantizationType[kind]),
            },
            rounds=1 if quick else 5,
            clock=time.process_time,
        )
        ours = timings["ours"].median / (ROWS * COLUMNS)
        theirs = timings["gguf"].median / (1024 * COLUMNS)
        cells = (ours * 1e9, theirs * 1e9, ours * FLUX_WEIGHTS, ours * T5_WEIGHTS)
        rows.append([kind, str(BLOCK_TYPES[kind].bits), *(f"{each:.1f}" for each in cells)])
        print(rows[-1], flush=True)
    headings = ["type", "bits in memory", "ours, s", "gguf, s", "FLUX.1, s", "T5, s"]
    return Section("GGUF", _TEXT, [Table(headings, rows)], ["mlx", "gguf", "numpy"])


def _content(kind: str) -> np.ndarray:
    """Random blocks, (bytes,) uint8."""
    block = BLOCK_TYPES[kind]
    count = ROWS * COLUMNS // block.weights
    made = np.random.default_rng(0).integers(0, 256, (count, block.nbytes), dtype=np.uint8)
    for place in SCALES.get(kind, (0, 2) if kind[-1] in "1K" else (0,)):
        scales = np.random.default_rng(1).uniform(0.001, 0.02, count).astype(np.float16)
        made[:, place : place + 2] = scales.view(np.uint8).reshape(count, 2)
    return made.reshape(-1)


def _evaluated(content: mx.array, kind: str) -> None:
    mx.eval(packed(content, kind, ROWS))
