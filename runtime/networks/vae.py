"""FLUX.1's autoencoder: forward passes over mflux's modules, for blocks of any width.

Pictures and latents are channels-last, as in MLX's convolutions. The architecture is diffusers'
AutoencoderKL: residual blocks at four resolutions around a middle block with one attention layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from run_graph.runtime.networks.attention import attend
from run_graph.runtime.networks.cpu import convolve
from run_graph.runtime.networks.elementwise import silu

NORM_EPS = 1e-6


@dataclass(frozen=True)
class _Settings:
    """The values of `config.json` that the forward passes need; FLUX.1's where a value is missing."""

    groups: int
    layers: int
    scale: float
    shift: float

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "_Settings":
        return cls(
            groups=int(config.get("norm_num_groups", 32)),
            layers=int(config.get("layers_per_block", 2)),
            scale=float(config.get("scaling_factor", 0.3611)),
            shift=float(config.get("shift_factor", 0.1159)),
        )


def decode(module: Any, config: Mapping[str, Any], latents: mx.array) -> mx.array:
    """Decode latents to a picture.

    Parameters
    ----------
    module
        mflux's `VAE` with a checkpoint's weights applied.
    config
        The autoencoder's `config.json` (diffusers format); `{}` means FLUX.1's own values.
    latents
        (B, h, w, 16) as the transformer produces them: scaled and shifted.

    Returns
    -------
    mx.array
        (B, 8 h, 8 w, 3) float32 in [0, 1].
    """
    settings, decoder = _Settings.of(config), module.decoder
    hidden = latents / settings.scale + settings.shift
    hidden = convolve(decoder.conv_in.conv2d, hidden.astype(decoder.conv_in.conv2d.bias.dtype))
    hidden = _middle(decoder.mid_block, hidden, settings.groups)
    for block in decoder.up_blocks:
        for resnet in block.resnets[: settings.layers + 1]:
            hidden = _resnet(resnet, hidden, settings.groups)
        if block.get("upsamplers"):
            hidden = convolve(block.upsamplers[0].conv, _double(hidden))
    hidden = _norm_silu(decoder.conv_norm_out.norm, hidden, settings.groups)
    pixels = convolve(decoder.conv_out.conv2d, hidden).astype(mx.float32)
    return mx.clip(pixels / 2 + 0.5, 0, 1)


def encode(module: Any, config: Mapping[str, Any], pixels: mx.array) -> mx.array:
    """Encode a picture to latents: the posterior mean, scaled and shifted as the transformer expects.

    Parameters
    ----------
    module, config
        As for `decode`.
    pixels
        (B, H, W, 3) in [0, 1], H and W multiples of 8.

    Returns
    -------
    mx.array
        (B, H / 8, W / 8, 16) float32.
    """
    settings, encoder = _Settings.of(config), module.encoder
    hidden = convolve(encoder.conv_in.conv2d, (pixels * 2 - 1).astype(encoder.conv_in.conv2d.bias.dtype))
    for block in encoder.down_blocks:
        for resnet in block.resnets[: settings.layers]:
            hidden = _resnet(resnet, hidden, settings.groups)
        if block.get("downsamplers"):
            # The autoencoder was trained with one row and column of padding, at the far edges only.
            hidden = block.downsamplers[0].conv(mx.pad(hidden, [(0, 0), (0, 1), (0, 1), (0, 0)]))
    hidden = _middle(encoder.mid_block, hidden, settings.groups)
    hidden = _norm_silu(encoder.conv_norm_out.norm, hidden, settings.groups)
    mean, _log_variance = mx.split(convolve(encoder.conv_out.conv2d, hidden).astype(mx.float32), 2, axis=-1)
    return (mean - settings.shift) * settings.scale


def group_norm(x: mx.array, weight: mx.array, bias: mx.array, groups: int) -> mx.array:
    """Group norm of x (B, H, W, C) over contiguous runs of C / groups channels and all positions."""
    batch, height, width, channels = x.shape
    grouped = x.reshape(batch, height * width, groups, channels // groups).transpose(0, 2, 1, 3)
    normed = mx.fast.layer_norm(grouped.reshape(batch, groups, -1), None, None, NORM_EPS)
    normed = normed.reshape(batch, groups, height * width, channels // groups).transpose(0, 2, 1, 3)
    return normed.reshape(x.shape) * weight + bias


def _norm_silu(norm: Any, x: mx.array, groups: int) -> mx.array:
    return silu(group_norm(x, norm.weight, norm.bias, groups))


def _resnet(resnet: Any, x: mx.array, groups: int) -> mx.array:
    hidden = convolve(resnet.conv1, _norm_silu(resnet.norm1, x, groups))
    hidden = convolve(resnet.conv2, _norm_silu(resnet.norm2, hidden, groups))
    if hidden.shape[-1] != x.shape[-1]:
        x = resnet.conv_shortcut(x)
    return x + hidden


def _middle(middle: Any, x: mx.array, groups: int) -> mx.array:
    x = _resnet(middle.resnets[0], x, groups)
    x = _attention(middle.attentions[0], x, groups)
    return _resnet(middle.resnets[1], x, groups)


def _attention(layer: Any, x: mx.array, groups: int) -> mx.array:
    """Self-attention with one head over all positions of x (B, H, W, C)."""
    batch, _, _, channels = x.shape
    normed = group_norm(x, layer.group_norm.weight, layer.group_norm.bias, groups)
    tokens = normed.reshape(batch, 1, -1, channels)
    mixed = attend(layer.to_q(tokens), layer.to_k(tokens), layer.to_v(tokens))
    update: mx.array = layer.to_out[0](mixed).reshape(x.shape)
    return x + update


def _double(x: mx.array) -> mx.array:
    """Nearest-neighbour upsampling by 2: (B, H, W, C) -> (B, 2 H, 2 W, C)."""
    batch, height, width, channels = x.shape
    squares = mx.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return squares.reshape(batch, height * 2, width * 2, channels)
