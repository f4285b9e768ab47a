"""Writes golden/resample.npz: what torch makes of two random token grids, for machines without torch.

Run from the repository root, with torch installed: python tests/runtime/models/make_resample_golden.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from run_graph.runtime.images.choices import KERNELS
from run_graph.runtime.networks.token_counts import MODES, grid_for_factor, grid_for_mode

SIDES = (27, 32)  # SigLIP patch14-384 and patch16-512
CHANNELS = 2


def sides_reached(m: int) -> list[int]:
    """Every side that a mode, or a factor of 1.0 to 9.0 in steps of 0.1, leads to."""
    by_factor = {grid_for_factor(tenths / 10, m) for tenths in range(10, 91)}
    return sorted(by_factor | {grid_for_mode(mode, m) for mode in MODES})


def torch_resize(tokens: np.ndarray, n: int, kernel: str) -> np.ndarray:
    """Resize ``(1, m * m, D)`` tokens to ``(1, n * n, D)`` with torch.nn.functional.interpolate."""
    batch, count, width = tokens.shape
    m = round(count**0.5)
    grid = torch.from_numpy(tokens).reshape(batch, m, m, width).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(grid, size=(n, n), mode=kernel)
    return resized.permute(0, 2, 3, 1).reshape(batch, n * n, width).numpy()


def main() -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for m in SIDES:
        tokens = rng.standard_normal((1, m * m, CHANNELS)).astype(np.float32)
        arrays[f"{m}"] = tokens
        for kernel in KERNELS:
            for n in sides_reached(m):
                arrays[f"{m} {kernel} {n}"] = torch_resize(tokens, n, kernel)
    np.savez_compressed(Path(__file__).parent / "golden" / "resample.npz", **arrays)


if __name__ == "__main__":
    main()
