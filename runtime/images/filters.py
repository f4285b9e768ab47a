"""Blur and sharpen pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def blurred(pixels: Array, radius: int, sigma: float) -> Array:
    """Pictures ``(B, H, W, C)`` under a Gaussian kernel of 2 * radius + 1 pixels a side.

    The kernel spans -1 to 1, so that `sigma` is in units of the radius. Beyond an edge the picture is
    mirrored, the edge itself not repeated.
    """
    distance = np.linspace(-1, 1, 2 * radius + 1)
    weights = np.exp(-(distance**2) / (2 * sigma**2))
    kernel = (weights / weights.sum()).astype(np.float32)
    # The Gaussian of a distance is the product of those of its two components.
    return _along(_along(pixels, 1, kernel), 2, kernel)


def _along(pixels: Array, axis: int, kernel: Array) -> Array:
    radius, length = len(kernel) // 2, pixels.shape[axis]
    widths = [(radius, radius) if each == axis else (0, 0) for each in range(pixels.ndim)]
    padded = np.pad(pixels, widths, mode="reflect")
    total, part = np.zeros_like(pixels), np.empty_like(pixels)
    before = (slice(None),) * axis
    for offset, weight in enumerate(kernel):
        np.multiply(padded[(*before, slice(offset, offset + length))], weight, out=part)
        total += part
    return total


def sharpened(pixels: Array, radius: int, sigma: float, amount: float) -> Array:
    """Pictures with ten times `amount` of their difference from their blur added, clipped to 0..1."""
    strength = np.float32(10 * amount)
    return np.clip(pixels + strength * (pixels - blurred(pixels, radius, sigma)), 0, 1)
