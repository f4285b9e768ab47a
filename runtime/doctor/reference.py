"""What the built-in model computes from fixed inputs, and what it computed when the references were stored.

The references were made in float32 on a CPU, by tests/runtime/doctor/make_references.py. Each network gets
inputs of its own rather than what another one returned, so that a fault shows where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import mlx.core as mx

    from run_graph.runtime.models.store import ModelStore
    from run_graph.runtime.networks.transformer import FluxTransformer, Prepared

Array = npt.NDArray[np.float32]

PROMPT = "a fox, shaded style, on a green background"
PICTURES = ("redux", "text_to_image")
"""The example workflows whose pictures are compared."""
SIDE = 96  # pixels of a compared picture, and of what a timed step samples

_FOLDER = Path(__file__).parent / "references"
_SIGMA, _GUIDANCE = 0.6, 3.5
_CELLS = 6  # side of the latent that the autoencoder gets
_TOKENS = 24
_KEPT = 9  # one in so many of SigLIP's 729 patches is stored
_BITS = 4

Outputs = dict[str, Array]


@dataclass(frozen=True)
class Step:
    """One evaluation of the built-in transformer at `SIDE` x `SIDE` pixels; call it to compute it."""

    transformer: FluxTransformer
    prepared: Prepared

    def __call__(self) -> Array:
        return _evaluated(self.transformer.velocity(_given(1, (SIDE // 16) ** 2, 64), _SIGMA, self.prepared))


def network_outputs(store: ModelStore) -> Outputs:
    """The output of each network for its fixed input, by the network's name, as float32.

    T5's tokens and CLIP's vector for `PROMPT`, every ninth of SigLIP's patches, Redux's tokens, the
    transformer's velocity (also with weights of 4 bits), and the autoencoder's latents and pixels.
    """
    from run_graph.runtime.models.aliases import TINY
    from run_graph.runtime.models.handles import TextEncoders
    from run_graph.runtime.models.resolution import resolve_flux
    from run_graph.runtime.models.text import encode_prompt
    from run_graph.runtime.networks import redux, siglip, vae

    tiny = resolve_flux(TINY)
    tokens, pooled = encode_prompt(store, TextEncoders(tiny), PROMPT)
    autoencoder, tower = store.get(tiny, "vae"), store.get(tiny, "image_encoder")
    size = siglip.image_size(tower.config)
    seen = siglip.encode(tower.module, tower.config, _given(1, size, size, 3))
    cells, pixels = _given(1, _CELLS, _CELLS, 16), (_given(1, 8 * _CELLS, 8 * _CELLS, 3) + 1) / 2
    return {
        "T5": _evaluated(tokens),
        "CLIP": _evaluated(pooled),
        "SigLIP": _evaluated(seen[:, ::_KEPT]),
        "Redux": _evaluated(redux.project(store.get(tiny, "image_embedder").module, _given(1, 16, 64))),
        "transformer": transformer_step(store)(),
        f"transformer, {_BITS} bits": transformer_step(store, _BITS)(),
        "encoder": _evaluated(vae.encode(autoencoder.module, autoencoder.config, pixels)),
        "decoder": _evaluated(vae.decode(autoencoder.module, autoencoder.config, cells, clip=False)),
    }


def transformer_step(store: ModelStore, quantize: int | None = None) -> Step:
    """A step of the built-in transformer, its weights packed into `quantize` bits or not."""
    from run_graph.runtime.models.aliases import TINY
    from run_graph.runtime.models.resolution import resolve_flux

    tiny = resolve_flux(TINY)
    transformer = store.transformer(tiny, quantize)
    width, pooled = transformer.conditioning_widths
    return Step(
        transformer,
        transformer.prepare(_given(1, _TOKENS, width), _given(1, pooled), _GUIDANCE, SIDE, SIDE),
    )


def picture(store: ModelStore, name: str) -> Array:
    """The picture (96, 96, 3) of an example workflow, in [0, 1]; nothing is written and no result is kept."""
    from run_graph.graph.formats.api import load_workflow
    from run_graph.runtime.engine.context import RunEnvironment
    from run_graph.runtime.engine.services import Services
    from run_graph.runtime.engine.session import Session
    from run_graph.runtime.files.places import example_folder

    folder = example_folder()
    result = Session(services=Services(store)).run(
        load_workflow(folder / f"{name}.json"),
        targets=["image"],
        environment=RunEnvironment([folder], folder),
    )
    drawn: Any = result.outputs("image")
    return np.asarray(drawn.image.pixels[0])


def stored_outputs() -> Outputs:
    """What `network_outputs` gave when the references were stored."""
    from safetensors.numpy import load_file

    return load_file(networks_file())


def stored_picture(name: str) -> Array:
    """What `picture` gave when the references were stored, to 1/255."""
    from PIL import Image

    with Image.open(picture_file(name)) as file:
        return np.asarray(file, np.float32) / np.float32(255)


def networks_file() -> Path:
    """Where the outputs of the networks are stored."""
    return _FOLDER / "networks.safetensors"


def picture_file(name: str) -> Path:
    """Where the picture of an example workflow is stored."""
    return _FOLDER / f"{name}.png"


def _given(*shape: int) -> mx.array:
    """An input that is the same on every machine: values in [-1, 1] without a pattern."""
    import mlx.core as mx

    index = np.arange(np.prod(shape), dtype=np.float64)
    return mx.array(np.sin(1.7 * index + 0.3 * np.sin(0.13 * index)).astype(np.float32).reshape(shape))


def _evaluated(array: mx.array) -> Array:
    import mlx.core as mx

    return np.array(array.astype(mx.float32))
