"""From latent pictures to pixels and back, with the autoencoder of a checkpoint.

Pictures are computed one at a time, or in tiles: an autoencoder takes much memory. Latents are in the
autoencoder's own scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Protocol

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from run_graph.runtime.networks import vae, vae_tiling
from run_graph.runtime.networks.averaged_tilings import average, tilings
from run_graph.runtime.sampling.latent_operations import CELL
from run_graph.runtime.sampling.latents import to_autoencoder_scale, to_model_scale
from run_graph.runtime.values import unit

Array = npt.NDArray[np.float32]

_COLOURS = 3

OnPart = Callable[[int, int], None]
"""Called with the numbers of pictures, or of tiles, that are done and that there are."""


class Autoencoder(Protocol):
    """An autoencoder in memory, as the model store has it: a tree of layers, and its config.json."""

    @property
    def module(self) -> Any: ...

    @property
    def config(self) -> Mapping[str, Any]: ...


def decoded(autoencoder: Autoencoder, samples: mx.array, on_picture: OnPart) -> Array:
    """Latents ``(B, h, w, C)`` as pictures ``(B, 8 h, 8 w, 3)``, 0..1.

    `on_picture` is called only if there are several.

    Raises
    ------
    ValueError
        If the latents have another number of channels than the autoencoder.
    """
    samples = _in_model_scale(autoencoder, samples)
    pictures = []
    for index in range(samples.shape[0]):
        decoded = vae.decode(autoencoder.module, autoencoder.config, samples[index : index + 1])
        pictures.append(np.array(decoded.astype(mx.float32)))
        if samples.shape[0] > 1:
            on_picture(index + 1, samples.shape[0])
    return np.concatenate(pictures)


def decoded_in_tiles(autoencoder: Autoencoder, samples: mx.array, tile: int, on_tile: OnPart) -> Array:
    """The same in tiles as mflux places and blends them; see :mod:`runtime.networks.vae_tiling`."""
    samples = _in_model_scale(autoencoder, samples)
    return vae_tiling.decode_tiled(autoencoder.module, autoencoder.config, samples, tile, on_tile)


def decoded_in_averaged_tiles(
    autoencoder: Autoencoder, samples: mx.array, tile: int, overlap: int, on_tile: OnPart
) -> Array:
    """The same in tiles as ComfyUI places and averages them; sides in pixels, rounded down to cells.

    The tiles overlap by a quarter of their side at most.
    """
    samples = _in_model_scale(autoencoder, samples)
    overlap = min(overlap, tile // 4)

    def decode(cells: Array) -> Array:
        pixels = vae.decode(autoencoder.module, autoencoder.config, mx.array(cells[None]), clip=False)
        result = np.array(pixels[0])
        mx.clear_cache()
        return result

    tiles = tilings(tile // CELL, overlap // CELL)
    cells = np.array(samples.astype(mx.float32))
    return np.clip(average(cells, decode, tiles, Fraction(CELL), _COLOURS, on_tile), 0, 1)


def encoded(autoencoder: Autoencoder, samples: npt.NDArray[Any], on_picture: OnPart) -> mx.array:
    """Pictures as latents: the means of what the autoencoder finds.

    Parameters
    ----------
    autoencoder
    samples : float32 or uint8 array (B, 8 h, 8 w, 3)
        0..1 or 0..255.
    on_picture
        Called only if there are several.

    Returns
    -------
    float32 array (B, h, w, C)
    """
    latents = []
    for index in range(len(samples)):
        latents.append(_encoded(autoencoder, unit(samples[index])))
        if len(samples) > 1:
            on_picture(index + 1, len(samples))
    return mx.array(np.stack(latents))


def encoded_in_averaged_tiles(
    autoencoder: Autoencoder, samples: npt.NDArray[Any], tile: int, overlap: int, on_tile: OnPart
) -> mx.array:
    """The same in tiles as ComfyUI places and averages them.

    Raises
    ------
    ValueError
        If half of a tile's side or the overlap is no multiple of 8, or the overlap is too large.
    """
    if tile % (2 * CELL) or overlap % CELL:
        raise ValueError(
            f"tiles of {tile} pixels that overlap by {overlap} do not end at latent cells; make tile_size a "
            f"multiple of {2 * CELL} and overlap a multiple of {CELL}"
        )

    def encode(pixels: Array) -> Array:
        result = _encoded(autoencoder, pixels)
        mx.clear_cache()
        return result

    channels = _channels(autoencoder)
    tiles = tilings(tile, overlap)
    return mx.array(average(unit(samples), encode, tiles, Fraction(1, CELL), channels, on_tile))


def whole_cells(pictures: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Pictures or masks ``(B, H, W, ...)`` with their sides cut about the centre to multiples of 8.

    Raises
    ------
    ValueError
        If a side is shorter than 8 pixels.
    """
    height, width = pictures.shape[1:3]
    if min(height, width) < CELL:
        raise ValueError(
            f"a picture of {width} x {height} pixels is too small to encode; sides have {CELL} or more"
        )
    rows, columns = (_middle(side) for side in (height, width))
    return pictures[:, rows, columns]


def _middle(length: int) -> slice:
    start, whole = length % CELL // 2, length // CELL * CELL
    return slice(start, start + whole)


def _encoded(autoencoder: Autoencoder, pixels: Array) -> Array:
    latents = vae.encode(autoencoder.module, autoencoder.config, mx.array(pixels[None]))
    return np.array(to_autoencoder_scale(latents)[0])


def _in_model_scale(autoencoder: Autoencoder, samples: mx.array) -> mx.array:
    channels = _channels(autoencoder)
    if samples.shape[-1] != channels:
        raise ValueError(
            f"the latent picture has {samples.shape[-1]} channels, but the autoencoder decodes {channels}; "
            "decode what a sampler made, or begin with EmptySD3LatentImage"
        )
    return to_model_scale(samples)


def _channels(autoencoder: Autoencoder) -> int:
    """Of its latents."""
    return int(autoencoder.module.decoder.conv_in.conv2d.weight.shape[-1])
