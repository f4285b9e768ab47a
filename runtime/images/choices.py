"""The names that nodes for pictures offer to choose from. Imports nothing heavy: nodes declare them."""

from __future__ import annotations

from typing import Literal, get_args

Kernel = Literal["area", "bicubic", "nearest", "bilinear", "nearest-exact"]
"""How a sample of the new grid is computed from the old one, as in torch's `interpolate`."""

KERNELS: tuple[Kernel, ...] = get_args(Kernel)

Method = Literal["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
"""How a picture is resized: by one of four kernels, or with Lanczos, which antialiases."""

LatentMethod = Literal["nearest-exact", "bilinear", "area", "bicubic", "bislerp"]
"""How a latent picture is resized: by one of four kernels, or by turning vectors into one another."""

Crop = Literal["disabled", "center"]
"""Whether a picture is first cut, about its centre, to the new ratio of its sides."""

BlendMode = Literal["normal", "multiply", "screen", "overlay", "soft_light", "difference"]
"""What becomes of two samples."""

MaskOperation = Literal["multiply", "add", "subtract", "and", "or", "xor"]
"""What becomes of two masks."""

Direction = Literal["right", "down", "left", "up"]
"""On which side of a picture another one goes."""

Colour = Literal["white", "black", "red", "green", "blue"]
"""A colour between pictures."""

Channel = Literal["red", "green", "blue", "alpha"]
"""A channel of a picture."""

CHANNELS: tuple[Channel, ...] = get_args(Channel)
"""The channels in their order in a picture."""
