"""FLUX's autoencoder under the names of latent diffusion, as in `ae.safetensors`.

Source: `convert_ldm_vae_checkpoint` of diffusers. The decoder's blocks are counted from the other end, and
the attention's projections are convolutions of one pixel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol, Self, TypeVar

_RULES = (
    (r"^encoder\.down\.(\d+)\.block\.(\d+)\.", r"encoder.down_blocks.\1.resnets.\2."),
    (r"^encoder\.down\.(\d+)\.downsample\.conv\.", r"encoder.down_blocks.\1.downsamplers.0.conv."),
    (r"^decoder\.up\.(\d+)\.block\.(\d+)\.", r"decoder.up_blocks.\1.resnets.\2."),
    (r"^decoder\.up\.(\d+)\.upsample\.conv\.", r"decoder.up_blocks.\1.upsamplers.0.conv."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.norm_out\.", ".conv_norm_out."),
)
_ATTENTION = re.compile(r"\.mid\.attn_1\.(?:[qkv]|proj_out)\.weight$")
_UP = re.compile(r"decoder\.up\.(\d+)\.")


class Reshaped(Protocol):
    """What can be given another shape: a tensor, read or not."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def reshaped(self, *shape: int) -> Self: ...


T = TypeVar("T", bound=Reshaped)


def from_latent_diffusion(tensors: Mapping[str, T]) -> dict[str, T]:
    """An autoencoder's tensors by diffusers' names; names of other programs stay as they are."""
    last = max((int(match[1]) for name in tensors if (match := _UP.match(name))), default=0)
    found = {}
    for name, tensor in tensors.items():
        if _ATTENTION.search(name) and len(tensor.shape) == 4:
            tensor = tensor.reshaped(*tensor.shape[:2])
        found[_renamed(name, last)] = tensor
    return found


def _renamed(name: str, last: int) -> str:
    name = _UP.sub(lambda match: f"decoder.up.{last - int(match[1])}.", name)
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    return name
