"""The tiny checkpoint's networks, loaded by the model store, against reference models of the same folder."""

import mlx.core as mx
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity oracle: diffusers and transformers read the same folder")

from diffusers import AutoencoderKL, FluxTransformer2DModel  # noqa: E402
from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder  # noqa: E402
from diffusers.pipelines.flux.pipeline_flux import FluxPipeline  # noqa: E402
from transformers import CLIPTextModel, SiglipVisionModel, T5EncoderModel  # noqa: E402

from run_graph.runtime.device import compute_dtype  # noqa: E402
from run_graph.runtime.models.handles import TextEncoders  # noqa: E402
from run_graph.runtime.models.resolution import resolve_flux  # noqa: E402
from run_graph.runtime.models.store import ModelStore  # noqa: E402
from run_graph.runtime.models.text import encode_prompt  # noqa: E402
from run_graph.runtime.models.tiny import TINY_FOLDER  # noqa: E402
from run_graph.runtime.models.tokenizers import CLIP_TOKENS, token_ids  # noqa: E402
from run_graph.runtime.networks import clip, redux, siglip, t5, vae  # noqa: E402

pytestmark = pytest.mark.skipif(
    compute_dtype() != mx.float32, reason="the store loads in bfloat16 on a GPU; parity is shown in float32"
)


@pytest.fixture
def tiny():
    return TINY_FOLDER


@pytest.fixture
def component(tiny):
    def get(name: str, reference_class):
        loaded = ModelStore().get(resolve_flux(str(tiny)), name)
        reference = reference_class.from_pretrained(tiny, subfolder=name).float().eval()
        return loaded.module, loaded.config, reference

    return get


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@torch.no_grad()
@pytest.mark.parametrize("prompt", ["", "a red fox in the snow"])
def test_prompt_encoding(prompt, tiny, component, agree):
    checkpoint, store = resolve_flux(str(tiny)), ModelStore()
    tokens, pooled = encode_prompt(store, TextEncoders(checkpoint), prompt)
    t5_ids = token_ids(store.tokenizer(checkpoint, "t5"), prompt, tokens.shape[1])
    clip_ids = token_ids(store.tokenizer(checkpoint, "clip"), prompt, CLIP_TOKENS)
    *_, t5_reference = component("text_encoder_2", T5EncoderModel)
    *_, clip_reference = component("text_encoder", CLIPTextModel)
    agree(tokens, t5_reference(torch.tensor(t5_ids.tolist())).last_hidden_state, label=f"tiny T5 {prompt!r}")
    agree(
        pooled, clip_reference(torch.tensor(clip_ids.tolist())).pooler_output, label=f"tiny CLIP {prompt!r}"
    )


@torch.no_grad()
def test_t5_beyond_its_farthest_bucket(component, agree):
    module, config, reference = component("text_encoder_2", T5EncoderModel)
    ids = np.random.default_rng(0).integers(0, config["vocab_size"], (2, 300))
    agree(t5.encode(module, config, mx.array(ids)), reference(torch.from_numpy(ids)).last_hidden_state)


@torch.no_grad()
def test_clip_batch(component, agree):
    module, config, reference = component("text_encoder", CLIPTextModel)
    ids = np.random.default_rng(0).integers(0, config["vocab_size"] - 1, (3, 77))
    ids[:, 40:] = config["vocab_size"] - 1
    agree(clip.pooled(module, config, mx.array(ids)), reference(torch.from_numpy(ids)).pooler_output)


@torch.no_grad()
def test_siglip_then_redux(component, agree):
    pixels = np.clip(random(1, 384, 384, 3), -1, 1)
    module, config, reference = component("image_encoder", SiglipVisionModel)
    hidden = siglip.encode(module, config, mx.array(pixels))
    expected = reference(torch.from_numpy(pixels).permute(0, 3, 1, 2)).last_hidden_state
    agree(hidden, expected, label="tiny SigLIP")
    module, _, reference = component("image_embedder", ReduxImageEncoder)
    agree(redux.project(module, hidden), reference(expected).image_embeds, label="tiny SigLIP then Redux")


@torch.no_grad()
def test_transformer(tiny, component, agree):
    _, config, reference = component("transformer", FluxTransformer2DModel)
    transformer = ModelStore().transformer(resolve_flux(str(tiny)))
    height, width, sigma, guidance = 64, 96, 0.7, 3.5
    latents, tokens = random(2, 24, 64), random(2, 145, config["joint_attention_dim"], seed=1)
    pooled = random(2, config["pooled_projection_dim"], seed=2)
    prepared = transformer.prepare(mx.array(tokens), mx.array(pooled), guidance, height, width)
    expected = reference(
        hidden_states=torch.from_numpy(latents),
        encoder_hidden_states=torch.from_numpy(tokens),
        pooled_projections=torch.from_numpy(pooled),
        timestep=torch.full((2,), sigma),
        guidance=torch.full((2,), guidance),
        txt_ids=torch.zeros(145, 3),
        img_ids=FluxPipeline._prepare_latent_image_ids(2, height // 16, width // 16, "cpu", torch.float32),
    ).sample
    agree(transformer.velocity(mx.array(latents), sigma, prepared), expected)


@torch.no_grad()
def test_vae_both_ways(component, agree):
    module, config, reference = component("vae", AutoencoderKL)
    scale, shift = config["scaling_factor"], config["shift_factor"]
    latents = random(1, 8, 6, 16)
    decoded = reference.decode(torch.from_numpy(latents).permute(0, 3, 1, 2) / scale + shift).sample
    expected = (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    agree(vae.decode(module, config, mx.array(latents)), expected, label="tiny VAE decode")
    mean = reference.encode(decoded).latent_dist.mean
    pixels = (decoded / 2 + 0.5).permute(0, 2, 3, 1).numpy()
    expected = (mean - shift).permute(0, 2, 3, 1) * scale
    agree(vae.encode(module, config, mx.array(pixels)), expected, label="tiny VAE encode")
