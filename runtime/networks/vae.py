"""FLUX.1's autoencoder: forward passes over mflux's modules, for any widths of the blocks.

Pictures and latents are channels-last, as MLX's convolutions are. The architecture is diffusers'
AutoencoderKL: residual blocks in four resolutions around a middle with one attention layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from run_graph.runtime.networks.attention import attend
from run_graph.runtime.networks.convolution import GroupNorm, Skip, convolve, group_norm


@dataclass(frozen=True)
class _Settings:
    """The values of `config.json` that the forward passes need; missing ones default to FLUX.1's."""

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


def decode(module: Any, config: Mapping[str, Any], latents: mx.array, clip: bool = True) -> mx.array:
    """Decode latents to a picture.

    Parameters
    ----------
    module
        mflux's `VAE` with a checkpoint's weights applied.
    config
        The autoencoder's `config.json` (diffusers format); `{}` means FLUX.1's own values.
    latents
        (B, h, w, 16) as the transformer produces them: scaled and shifted.
    clip
        Whether what lies outside [0, 1] is cut off.

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
            hidden = convolve(block.upsamplers[0].conv, hidden, resize="double")
    norm = _norm(decoder.conv_norm_out.norm, settings.groups)
    pixels = convolve(decoder.conv_out.conv2d, hidden, norm=norm).astype(mx.float32)
    pixels = pixels / 2 + 0.5
    return mx.clip(pixels, 0, 1) if clip else pixels


def encode(module: Any, config: Mapping[str, Any], pixels: mx.array) -> mx.array:
    """Encode a picture to latents: the mean of the posterior, scaled and shifted for the transformer.

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
            hidden = convolve(block.downsamplers[0].conv, hidden, resize="halve")
    hidden = _middle(encoder.mid_block, hidden, settings.groups)
    norm = _norm(encoder.conv_norm_out.norm, settings.groups)
    moments = convolve(encoder.conv_out.conv2d, hidden, norm=norm).astype(mx.float32)
    mean, _log_variance = mx.split(moments, 2, axis=-1)
    return (mean - settings.shift) * settings.scale


def _norm(module: Any, groups: int) -> GroupNorm:
    return GroupNorm(module.weight, module.bias, groups)


def _resnet(resnet: Any, x: mx.array, groups: int) -> mx.array:
    hidden = convolve(resnet.conv1, x, norm=_norm(resnet.norm1, groups))
    shortcut = resnet.conv_shortcut if hidden.shape[-1] != x.shape[-1] else None
    return convolve(resnet.conv2, hidden, norm=_norm(resnet.norm2, groups), skip=Skip(x, shortcut))


def _middle(middle: Any, x: mx.array, groups: int) -> mx.array:
    x = _resnet(middle.resnets[0], x, groups)
    x = _attention(middle.attentions[0], x, groups)
    return _resnet(middle.resnets[1], x, groups)


def _attention(layer: Any, x: mx.array, groups: int) -> mx.array:
    """Self-attention with one head over all positions of x (B, H, W, C)."""
    batch, _, _, channels = x.shape
    normed = group_norm(x, _norm(layer.group_norm, groups))
    tokens = normed.reshape(batch, 1, -1, channels)
    mixed = attend(layer.to_q(tokens), layer.to_k(tokens), layer.to_v(tokens))
    update: mx.array = layer.to_out[0](mixed).reshape(x.shape)
    return x + update
