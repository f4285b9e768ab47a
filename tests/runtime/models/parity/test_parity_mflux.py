"""Every network at FLUX.1's real width against mflux's own forward pass, over the very same weights.

The transformer's bound is wider than rounding: mflux's image side uses the exact GELU where ours and the
references use the tanh one, and its query and key norms have another epsilon.
"""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mflux.models.common.config.config import Config
from mflux.models.common.config.model_config import ModelConfig
from mflux.models.flux.model.flux_text_encoder.clip_encoder.clip_encoder import CLIPEncoder
from mflux.models.flux.model.flux_text_encoder.t5_encoder.t5_encoder import T5Encoder
from mflux.models.flux.model.flux_transformer.transformer import Transformer
from mflux.models.flux.model.flux_vae.vae import VAE
from mflux.models.flux.model.redux_encoder.redux_encoder import ReduxEncoder

from run_graph.runtime.networks import clip, redux, t5, vae
from run_graph.runtime.networks.transformer import FluxTransformer
from run_graph.runtime.sampling.noise import initial_noise
from run_graph.runtime.sampling.schedules import sigmas


@pytest.fixture(autouse=True)
def seeded():
    mx.random.seed(0)


def test_transformer(agree):
    module = Transformer(ModelConfig.dev(), num_transformer_blocks=1, num_single_transformer_blocks=1)
    width, height = 48, 32
    config = Config(ModelConfig.dev(), num_inference_steps=4, width=width, height=height, guidance=3.5)
    tokens, pooled = mx.random.normal((1, 6, 4096)), mx.random.normal((1, 768))
    latents = initial_noise(0, width, height)
    expected = module(2, config, latents, tokens, pooled)

    ours = FluxTransformer(module, {})
    prepared = ours.prepare(tokens, pooled, guidance=3.5, height=height, width=width)
    velocity = ours.velocity(latents, sigmas(4, width, height, shift=True)[2], prepared)
    agree(velocity, np.array(expected), tolerance=2e-3, label="transformer, 3072 wide, vs mflux")


def test_t5(agree):
    module = T5Encoder()
    module.t5_blocks = module.t5_blocks[:1]
    module.shared = nn.Embedding(64, 4096)  # the real vocabulary would only take time to fill
    ids = mx.random.randint(0, 64, (1, 12))
    agree(t5.encode(module, {}, ids), np.array(module(ids)), label="T5, 4096 wide, vs mflux")


def test_clip(agree):
    module = CLIPEncoder()
    module.text_model.encoder.layers = module.text_model.encoder.layers[:2]
    module.text_model.embeddings.token_embedding = nn.Embedding(64, 768)
    ids = mx.random.randint(0, 60, (1, 77))
    ids[0, 30:] = 63
    agree(clip.pooled(module, {}, ids), np.array(module(ids)), label="CLIP, 768 wide, vs mflux")


def test_redux(agree):
    module = ReduxEncoder()
    hidden = mx.random.normal((1, 9, 1152))
    agree(redux.project(module, hidden), np.array(module(hidden)), label="Redux, 1152 wide, vs mflux")


def test_vae(agree):
    module = VAE()
    latents = mx.random.normal((1, 2, 3, 16))
    expected = mx.clip(module.decode(latents.transpose(0, 3, 1, 2))[:, :, 0] / 2 + 0.5, 0, 1)
    picture = vae.decode(module, {}, latents)
    agree(picture, np.array(expected.transpose(0, 2, 3, 1)), label="VAE decode, 512 wide, vs mflux")
    expected = module.encode((picture * 2 - 1).transpose(0, 3, 1, 2))[:, :, 0]
    agree(
        vae.encode(module, {}, picture), np.array(expected.transpose(0, 2, 3, 1)),
        label="VAE encode, 512 wide, vs mflux",
    )  # fmt: skip
