"""To how many tokens per side a Redux token grid is reduced: the conventions, as plain integers.

Does not import MLX, so that a node can declare and validate its parameters without loading a backend.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Mode = Literal["lowest", "low", "medium", "high", "highest"]
"""How much of the reference picture is kept: fewer tokens give the prompt more influence."""

MODES: Mapping[Mode, int] = MappingProxyType({"lowest": 5, "low": 4, "medium": 3, "high": 2, "highest": 1})
"""Mode to downsampling factor. On SigLIP's 27 x 27 grid: 25, 36, 81, 169 and 729 tokens."""


def grid_for_mode(mode: Mode, m: int) -> int:
    """Side of the reduced grid for a named mode: ``floor(m / factor)``, at least 1.

    ComfyUI's StyleModelApplySimple and InvokeAI round the same way.

    Raises
    ------
    ValueError
        If `mode` is not one of `MODES`, or `m` is below 1.
    """
    if mode not in MODES:
        raise ValueError(f"mode {mode!r} is unknown; choose one of {', '.join(MODES)}")
    return max(1, _side(m) // MODES[mode])


def grid_for_factor(factor: float, m: int) -> int:
    """Side of the reduced grid for an explicit factor: ``round(m / factor)``, at least 1.

    It rounds like ReduxAdvanced, with Python's ``round``, which rounds halves to even. This differs from
    `grid_for_mode`: on 27 x 27, factor 2 gives 14 and mode ``high`` gives 13.

    Parameters
    ----------
    factor : float
        Finite and at least 1; 1 keeps the grid.
    m : int
        Side of the grid to reduce, at least 1.

    Raises
    ------
    ValueError
        If `factor` or `m` is out of range.
    """
    if not (math.isfinite(factor) and factor >= 1):
        raise ValueError(f"factor must be a finite number of at least 1, not {factor!r}")
    return max(1, round(_side(m) / factor))


def side_of(tokens: int) -> int:
    """Side of the square grid that `tokens` tokens form.

    Raises
    ------
    ValueError
        If `tokens` is not a positive square number.
    """
    side = math.isqrt(max(tokens, 0))
    if tokens < 1 or side * side != tokens:
        raise ValueError(f"{tokens} tokens do not form a square grid; Redux has 729 = 27 x 27 tokens")
    return side


def _side(m: int) -> int:
    if m < 1:
        raise ValueError(f"a token grid has at least 1 token per side, not {m}")
    return m
