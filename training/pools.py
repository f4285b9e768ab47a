"""The flow's training data, computed once: SigLIP features of references and latents of targets.

`python -m training.pools` writes `data/pools.pt` from the runs `vae` and `vision`, frozen afterwards.
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training import sizes
from training.domain import NOUNS, STYLES, subjects
from training.icons import DATA
from training.latents import encode, scaled_autoencoder, to_model
from training.pictures import PictureMaker, Pictures, over
from training.running import averaged_weights
from training.vision import siglip_input

FILE = DATA / "pools.pt"
ICONS_ON_COLOUR, ICONS_ON_FIELD, OTHER_ICONS, FIELDS = 1400, 500, 900, 700


@dataclass(frozen=True)
class Pools:
    """Tensors with one row per picture.

    `vision` holds SigLIP features (n, 729, 64) float16, `latents` packed latents (n, 36, 64) float32; the
    domain's pictures are in the order of `subjects()`. `swapped` holds, for each wild picture, the latents of
    the same background with a random icon of the domain, given by `swapped_nouns` and `swapped_styles`.
    """

    vision: Tensor
    latents: Tensor
    wild_vision: Tensor
    wild_latents: Tensor
    swapped: Tensor
    swapped_nouns: Tensor
    swapped_styles: Tensor


def load_pools() -> Pools:
    """Load the pools that `main` wrote."""
    return Pools(**torch.load(FILE, weights_only=True))


def frozen_siglip() -> Any:
    """The SigLIP tower of the run `vision`."""
    model = sizes.vision_encoder()
    model.load_state_dict(averaged_weights("vision", "siglip."))
    return model.eval().requires_grad_(False)


@torch.no_grad()
def features(siglip: Any, pictures: Pictures) -> Tensor:
    """SigLIP features (n, 729, 64), float16."""
    parts = np.array_split(pictures, max(1, len(pictures) // 16))
    return torch.cat(
        [siglip(pixel_values=siglip_input(p, exact=True)).last_hidden_state.half() for p in parts]
    )


def _latents(vae: Any, pictures: Pictures) -> Tensor:
    parts = np.array_split(pictures, max(1, len(pictures) // 32))
    return torch.cat([to_model(encode(vae, part)) for part in parts])


def _icons(maker: PictureMaker, nouns: Any, styles: Any) -> Any:
    return maker.domain[nouns, styles]


def wild(maker: PictureMaker) -> dict[str, Any]:
    """References from outside the domain and, for each, the same background with an icon of the domain."""
    random = maker.random
    total = ICONS_ON_COLOUR + ICONS_ON_FIELD + OTHER_ICONS + FIELDS
    shape = (total, 96, 96, 3)
    fields = np.concatenate([maker.fields(50) for _ in range(total // 50)])  # Each 50 share a grid size.
    grounds = np.array(np.broadcast_to(maker.flat(total), shape))
    nouns, styles = random.integers(len(NOUNS), size=total), random.integers(len(STYLES), size=total)
    icons = _icons(maker, nouns, styles)
    on_field = slice(ICONS_ON_COLOUR, ICONS_ON_COLOUR + ICONS_ON_FIELD)
    grounds[on_field] = fields[on_field]
    others = slice(on_field.stop, on_field.stop + OTHER_ICONS)
    icons[others] = maker.other_icons(OTHER_ICONS)
    grounds[others.stop :] = fields[others.stop :]
    pictures = over(icons, grounds)
    pictures[others.stop :] = fields[others.stop :]
    swapped_nouns = random.integers(len(NOUNS), size=total)
    swapped_styles = random.integers(len(STYLES), size=total)
    return {
        "pictures": pictures,
        "swapped": over(_icons(maker, swapped_nouns, swapped_styles), grounds),
        "swapped_nouns": swapped_nouns,
        "swapped_styles": swapped_styles,
    }


def main() -> None:
    torch.manual_seed(3)
    maker = PictureMaker(seed=300)
    vae, siglip = scaled_autoencoder(), frozen_siglip()
    domain = maker.subjects(subjects())
    made = wild(maker)
    pools = {
        "vision": features(siglip, domain),
        "latents": _latents(vae, domain),
        "wild_vision": features(siglip, made["pictures"]),
        "wild_latents": _latents(vae, made["pictures"]),
        "swapped": _latents(vae, made["swapped"]),
        "swapped_nouns": torch.from_numpy(made["swapped_nouns"]),
        "swapped_styles": torch.from_numpy(made["swapped_styles"]),
    }
    torch.save(pools, DATA / "pools.tmp")
    os.replace(DATA / "pools.tmp", FILE)


if __name__ == "__main__":
    main()
