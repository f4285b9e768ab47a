"""Area resampling of token grids in torch: the training counterpart of `runtime.networks.token_grid`."""

import torch
from torch import Tensor
from torch.nn import functional as F

GRIDS = {5: 5, 4: 6, 3: 9, 2: 13, 1: 27}  # Factor -> tokens per side.


def resize(tokens: Tensor, side: int, interpolation: str = "area") -> Tensor:
    """(B, m*m, C) -> (B, side*side, C), row-major, with the interpolation of the same name in torch."""
    batch, count, channels = tokens.shape
    old = round(count**0.5)
    if old == side:
        return tokens
    squares = tokens.transpose(1, 2).reshape(batch, channels, old, old)
    resized = F.interpolate(squares.float(), size=(side, side), mode=interpolation)
    return resized.reshape(batch, channels, side * side).transpose(1, 2)


def cell_means(pictures: Tensor, side: int) -> Tensor:
    """The mean colour of each cell of a side x side grid, (B, side*side, 3), of pictures (B, 96, 96, 3)."""
    means = F.interpolate(pictures.permute(0, 3, 1, 2), size=(side, side), mode="area")
    return means.flatten(2).transpose(1, 2)


def cell_centres(side: int) -> Tensor:
    """Row and column of each cell's centre in [0, 1], (side*side, 2)."""
    axis = (torch.arange(side) + 0.5) / side
    return torch.cartesian_prod(axis, axis)
