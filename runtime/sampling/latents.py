"""Packing of latent pictures into tokens, and their two scales.

A latent picture is (B, height / 8, width / 8, 16). FLUX's transformer sees it packed: every 2 x 2 square
becomes a token of 64 channels ordered (channel, row, column), row-major, so (B, height/16 * width/16, 64).
"""

import mlx.core as mx

# The autoencoder's latents are brought to about unit variance for the transformer: the values in
# black-forest-labs/FLUX.1-dev's vae/config.json.
SCALE, SHIFT = 0.3611, 0.1159


def to_model_scale(latents: mx.array) -> mx.array:
    """The autoencoder's latents as the transformer sees them."""
    return (latents - SHIFT) * SCALE


def to_autoencoder_scale(latents: mx.array) -> mx.array:
    """The inverse of `to_model_scale`."""
    return latents / SCALE + SHIFT


def unpack(latents: mx.array, width: int, height: int) -> mx.array:
    """Packed (B, height/16 * width/16, 64) -> (B, height/8, width/8, 16); sizes in pixels."""
    rows, columns = height // 16, width // 16
    squares = latents.reshape(-1, rows, columns, 16, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return squares.reshape(-1, rows * 2, columns * 2, 16)


def pack(latents: mx.array) -> mx.array:
    """(B, h, w, 16) with h and w even -> packed (B, h/2 * w/2, 64); the inverse of `unpack`."""
    batch, height, width, channels = latents.shape
    squares = latents.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4)
    return squares.reshape(batch, (height // 2) * (width // 2), channels * 4)
