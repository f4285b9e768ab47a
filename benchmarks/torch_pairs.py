"""The same network twice, from one checkpoint: ours, and diffusers' or transformers' on torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from transformers import SiglipVisionModel, T5EncoderModel

from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import Component
from run_graph.runtime.models.loading import LoadedComponent
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.networks import siglip, t5, vae
from run_graph.runtime.networks.rope import image_positions

Array = npt.NDArray[np.float32]

SIGMA, GUIDANCE = 0.7, 3.5


@dataclass(frozen=True)
class Pair:
    """One computation, done by both from the same input; channels are last in both results."""

    name: str
    ours: Callable[[], Array]
    theirs: Callable[[], Array]


class Pairs:
    """The networks of a checkpoint folder, one after another, so that two at most are in memory.

    Parameters
    ----------
    folder
        A checkpoint in diffusers' layout, with SigLIP and Redux in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._checkpoint = Checkpoint("benchmark", folder=folder)

    def t5(self, tokens: int) -> Iterator[Pair]:
        """A prompt's tokens through T5."""
        network, reference = self._load("text_encoder_2", T5EncoderModel)
        module, config = network.module, network.config
        ids = np.random.default_rng(0).integers(0, config["vocab_size"], (1, tokens))
        yield Pair(
            f"T5, {_count(len(module.t5_blocks), 'layer')}, {tokens:,} tokens",
            lambda: _of_mlx(t5.encode(module, config, mx.array(ids))),
            _without_gradients(lambda: reference(torch.from_numpy(ids)).last_hidden_state),
        )

    def siglip(self) -> Iterator[Pair]:
        """A picture's patches, embedded and encoded."""
        network, reference = self._load("image_encoder", SiglipVisionModel)
        module, config = network.module, network.config
        side = siglip.image_size(config)
        pixels = np.clip(_noise(1, side, side, 3), -1, 1)
        first = _channels_first(pixels)
        layers = module.encoder.layers
        yield Pair(
            "SigLIP, patch embedding",
            lambda: _of_mlx(siglip.embed(module.embeddings, mx.array(pixels))),
            _without_gradients(lambda: _embeddings(reference)(first)),
        )
        yield Pair(
            f"SigLIP, with {_count(len(layers), 'layer')}",
            lambda: _of_mlx(siglip.encode(module, config, mx.array(pixels))),
            _without_gradients(lambda: reference(first).last_hidden_state),
        )

    def transformer(self, text: int, side: int) -> Iterator[Pair]:
        """FLUX's velocity for a square of `side` pixels, with all that diffusers computes in a step."""
        _, reference = self._load("transformer", FluxTransformer2DModel)
        ours = ModelStore().transformer(self._checkpoint)
        joint, single = len(ours.module.transformer_blocks), len(ours.module.single_transformer_blocks)
        grid = side // 16
        latents, pooled = _noise(1, grid * grid, 64), _noise(1, reference.config.pooled_projection_dim)
        tokens = _noise(1, text, reference.config.joint_attention_dim)
        places = torch.from_numpy(image_positions((grid, grid))).float()

        def velocity() -> Array:
            prepared = ours.prepare(mx.array(tokens), mx.array(pooled), GUIDANCE, side, side)
            return _of_mlx(ours.velocity(mx.array(latents), SIGMA, prepared))

        def reference_velocity() -> Any:
            return reference(
                hidden_states=torch.from_numpy(latents),
                encoder_hidden_states=torch.from_numpy(tokens),
                pooled_projections=torch.from_numpy(pooled),
                timestep=torch.tensor([SIGMA]),
                guidance=torch.tensor([GUIDANCE]),
                txt_ids=torch.zeros(text, 3),
                img_ids=places,
            ).sample

        name = f"FLUX, {joint} joint and {single} single, {grid * grid:,} + {text:,} tokens"
        yield Pair(name, velocity, _without_gradients(reference_velocity))

    def vae(self, sides: tuple[int, ...], encoded: int) -> Iterator[Pair]:
        """Decode to squares of these sides, in pixels; encode one."""
        network, reference = self._load("vae", AutoencoderKL)
        module, config = network.module, network.config
        scale, shift = config["scaling_factor"], config["shift_factor"]
        for side in sides:
            yield _decoding(module, config, reference, side)
        pixels = np.random.default_rng(0).random((1, encoded, encoded, 3), np.float32)
        yield Pair(
            f"VAE, encode {encoded} px",
            lambda: _of_mlx(vae.encode(module, config, mx.array(pixels))),
            _without_gradients(
                lambda: _last(
                    (reference.encode(_channels_first(pixels) * 2 - 1).latent_dist.mean - shift) * scale
                )
            ),
        )

    def _load(self, component: Component, reference: Any) -> tuple[LoadedComponent, Any]:
        theirs = reference.from_pretrained(self._folder, subfolder=component)
        return ModelStore().get(self._checkpoint, component), theirs.float().eval()


def _decoding(module: Any, config: Any, reference: Any, side: int) -> Pair:
    scale, shift = config["scaling_factor"], config["shift_factor"]
    latents = _noise(1, side // 8, side // 8, 16)

    def decode() -> Any:
        pixels = reference.decode(_channels_first(latents) / scale + shift).sample
        return _last((pixels / 2 + 0.5).clamp(0, 1))

    return Pair(
        f"VAE, decode {side} px",
        lambda: _of_mlx(vae.decode(module, config, mx.array(latents))),
        _without_gradients(decode),
    )


def _embeddings(reference: Any) -> Any:
    """SigLIP's embeddings: transformers 5 has dropped a level of its module."""
    return getattr(reference, "vision_model", reference).embeddings


def _without_gradients(compute: Callable[[], Any]) -> Callable[[], Array]:
    def run() -> Array:
        with torch.no_grad():
            return cast(Array, compute().numpy())

    return run


def _of_mlx(array: mx.array) -> Array:
    return np.asarray(array)


def _noise(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _channels_first(array: Array) -> Any:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 1)))


def _last(tensor: Any) -> Any:
    return tensor.permute(0, 2, 3, 1)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")
