"""The sizes of a small FLUX.1 + Redux checkpoint.

Everything here is plain data; `make.py` turns a spec into files. Tests define their own specs; the spec of
the shipped `tiny` model is `training.sizes.SPEC`.
"""

from dataclasses import dataclass

IMAGE_CHANNELS = 3
LATENT_CHANNELS = 16
PACKED_CHANNELS = 4 * LATENT_CHANNELS  # FLUX packs 2x2 latent pixels into one token.
TIME_CHANNELS = 256  # Sinusoidal features of the timestep; fixed in FLUX.
CLIP_TOKENS = 77
T5_BUCKETS = 32


@dataclass(frozen=True)
class TinySpec:
    """Sizes of every network of a checkpoint, and the seed of its weights.

    Widths should be multiples of 64, the group size of MLX's quantiser; layers of other widths are not
    quantised. `rope_axes` must all be even and add up to `head_size`.
    `vae_channels` follows FLUX's pattern (a, b, c, c), each a multiple of `vae_groups`.
    """

    seed: int = 20240801

    heads: int = 3
    head_size: int = 64
    rope_axes: tuple[int, int, int] = (16, 24, 24)
    joint_blocks: int = 2
    single_blocks: int = 4
    guidance: bool = True
    dynamic_shift: bool = True

    t5_width: int = 128
    t5_heads: int = 2
    t5_hidden: int = 256
    t5_layers: int = 2
    t5_tokens: int = 64

    clip_width: int = 64
    clip_heads: int = 2
    clip_hidden: int = 128
    clip_layers: int = 1

    siglip_width: int = 64
    siglip_heads: int = 2
    siglip_hidden: int = 128
    siglip_layers: int = 2
    siglip_image: int = 384
    siglip_patch: int = 14

    vae_channels: tuple[int, int, int, int] = (32, 64, 128, 128)
    vae_groups: int = 8
    vae_layers: int = 1

    @property
    def width(self) -> int:
        """Width of the transformer's residual stream."""
        return self.heads * self.head_size

    @property
    def siglip_tokens(self) -> int:
        """Patches that SigLIP sees: 27 x 27 = 729 at 384 px and patch 14."""
        return (self.siglip_image // self.siglip_patch) ** 2
