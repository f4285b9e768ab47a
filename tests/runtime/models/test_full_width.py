"""The whole graph at FLUX.1's own widths against mflux's modules called one after another.

Every network has its published width and one block (the transformer one of each kind); weights are
random. Left out of the published sizes are only vocabularies, tokens and patches: 12 T5 tokens
and 3 x 3 patches keep the arithmetic within seconds. It takes a minute and 2 GB of the disk, so it runs only
with the environment variable RUN_GRAPH_FULL_WIDTH. At small widths, tests/runtime/models/parity always does.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mflux.models.common.config import Config, ModelConfig
from mflux.models.flux.latent_creator.flux_latent_creator import FluxLatentCreator
from mflux_oracle import mflux_module
from PIL import Image

from run_graph.graph import Graph
from run_graph.nodes import (
    ConcatConditioning,
    DecodeLatent,
    FluxSample,
    LoadFlux,
    LoadImage,
    LoadRedux,
    PatchDownsample,
    ReduxEncode,
    SiglipEncode,
    TextEncode,
)
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import Component
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.models.tokenizers import token_ids
from run_graph.runtime.sampling.latents import to_autoencoder_scale
from training.layout import make
from training.layout.spec import TinySpec

SPEC = TinySpec(
    heads=24,
    head_size=128,
    rope_axes=(16, 56, 56),
    joint_blocks=1,
    single_blocks=1,
    t5_width=4096,
    t5_heads=64,
    t5_hidden=10240,
    t5_layers=1,
    t5_tokens=12,
    clip_width=768,
    clip_heads=12,
    clip_hidden=3072,
    clip_layers=1,
    siglip_width=1152,
    siglip_heads=16,
    siglip_hidden=4304,
    siglip_layers=1,
    siglip_image=42,
    vae_channels=(128, 256, 512, 512),
    vae_groups=32,
    vae_layers=2,
)
pytestmark = pytest.mark.skipif(
    not os.environ.get("RUN_GRAPH_FULL_WIDTH"), reason="RUN_GRAPH_FULL_WIDTH is not set: a minute, and 2 GB"
)
PROMPT, SEED, STEPS, GUIDANCE, SIDE = "a red fox in the snow", 3, 2, 3.5, 64

NOISE = np.random.default_rng(0).standard_normal(999_983, dtype=np.float32)  # A prime: no two rows alike.


def repeated_noise(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Weights of the maker's scale, for a tenth of its time."""
    values = np.resize(NOISE, shape)
    if len(shape) == 1:
        return 0.05 * values if name.endswith("bias") else 1 + 0.1 * values
    return np.float32(make._gain(name) / np.sqrt(make._inputs(name, shape))) * values


def save_state(tensors: dict[str, np.ndarray], path: Path, metadata: dict[str, str]) -> None:
    """Half the disk: bfloat16, as FLUX.1 is published."""
    halves = {name: mx.array(array).astype(mx.bfloat16) for name, array in tensors.items()}
    mx.save_safetensors(str(path), halves, metadata)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkpoint]:
    folder = tmp_path_factory.mktemp("full-width") / "flux"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make, "_tensor", repeated_noise)
        patch.setattr(make, "save_file", save_state)
        make.make_checkpoint(folder, SPEC)
    yield Checkpoint("full-width", folder=folder)
    shutil.rmtree(folder)  # Two gigabytes.


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """mflux rounds to bfloat16 in several places; without that, the two agree to rounding."""
    monkeypatch.setattr(ModelConfig, "precision", mx.float32)


class Mflux:
    """What mflux's own modules compute from the weights of our store."""

    def __init__(self, store: ModelStore, checkpoint: Checkpoint) -> None:
        self.store, self.checkpoint = store, checkpoint

    def module(self, component: Component) -> Any:
        return mflux_module(component, self.store.get(self.checkpoint, component).module)

    def conditioning(self, picture: mx.array) -> tuple[mx.array, mx.array]:
        ids = {
            kind: token_ids(self.store.tokenizer(self.checkpoint, kind), PROMPT, length)
            for kind, length in (("t5", SPEC.t5_tokens), ("clip", 77))
        }
        tokens = self.module("text_encoder_2")(ids["t5"])
        pooled = self.module("text_encoder")(ids["clip"])
        return mx.concatenate([tokens, self.redux(picture)], axis=1), pooled

    def redux(self, picture: mx.array) -> mx.array:
        """SigLIP's modules by hand where its class fixes 27 x 27 patches; then Redux."""
        siglip = self.module("image_encoder")
        patches = siglip.embeddings.patch_embedding(picture)
        hidden = patches.reshape(1, -1, SPEC.siglip_width) + siglip.embeddings.position_embedding.weight
        hidden = siglip.post_layernorm(siglip.encoder(hidden))
        return self.module("image_embedder")(hidden)

    def latents(self, tokens: mx.array, pooled: mx.array) -> mx.array:
        transformer = self.module("transformer")
        for block in transformer.transformer_blocks:
            block.ff.activation_function = nn.gelu_approx  # As published; mflux takes the exact one.
        config = Config(
            ModelConfig.dev(), num_inference_steps=STEPS, height=SIDE, width=SIDE, guidance=GUIDANCE
        )
        latents = FluxLatentCreator.create_noise(SEED, SIDE, SIDE)
        for step in range(STEPS):
            noise = transformer(step, config, latents, tokens, pooled)
            latents = config.scheduler.step(noise=noise, timestep=step, latents=latents)
        return FluxLatentCreator.unpack_latents(latents, SIDE, SIDE)

    def picture(self, latents: mx.array) -> mx.array:
        pixels = self.module("vae").decode(latents)[:, :, 0].transpose(0, 2, 3, 1)
        return mx.clip(pixels / 2 + 0.5, 0, 1)


def agree(ours: Any, theirs: mx.array, tolerance: float) -> None:
    """Whether no value differs by more than this share of the largest."""
    ours, theirs = np.array(ours), np.array(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


def test_every_stage_agrees_with_mflux_at_full_width(
    checkpoint: Checkpoint, tmp_path: Path, in_float32: None
) -> None:
    side = SPEC.siglip_image
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")

    g = Graph()
    flux = g.add(LoadFlux(model=str(checkpoint.folder)))
    redux = g.add(LoadRedux(model=str(checkpoint.folder)))
    photo = g.add(LoadImage(image=str(tmp_path / "photo.png")))
    vision = g.add(SiglipEncode(siglip=redux.siglip, image=photo.image))
    tokens = g.add(ReduxEncode(redux=redux.redux, vision=vision.vision))
    plain = g.add(PatchDownsample(tokens=tokens.tokens, mode="highest"))
    prompt = g.add(TextEncode(text_encoders=flux.text_encoders, prompt=PROMPT))
    both = g.add(ConcatConditioning(conditioning=prompt.conditioning, tokens=plain.tokens))
    sample = g.add(
        FluxSample(
            flux=flux.flux,
            conditioning=both.conditioning,
            width=SIDE,
            height=SIDE,
            steps=STEPS,
            guidance=GUIDANCE,
            seed=SEED,
        )
    )
    image = g.add(DecodeLatent(vae=flux.vae, latent=sample.latent))
    store = ModelStore()
    targets = [handle.node_id for handle in (both.conditioning, sample.latent, image.image)]
    result = Session(cache=NoCache(), services=Services(store)).run(g.workflow, targets=targets)

    theirs = Mflux(store, Checkpoint(str(checkpoint.folder), folder=checkpoint.folder))
    conditioning = result.value(both.conditioning)
    joined, pooled = theirs.conditioning(mx.array(pixels[None] / 127.5 - 1, dtype=mx.float32))
    agree(conditioning.only.tokens, joined, 1e-4)
    agree(conditioning.only.pooled, pooled, 1e-4)
    latents = theirs.latents(joined, pooled)
    agree(result.value(sample.latent).samples, to_autoencoder_scale(latents.transpose(0, 2, 3, 1)), 1e-4)
    picture = theirs.picture(latents)
    agree(result.value(image.image).pixels, picture, 1e-4)
    assert float(picture.std()) > 0.05, "the picture is not flat"
