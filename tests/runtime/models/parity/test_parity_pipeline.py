"""From picture and prompt to picture: our stages against the same composition of reference modules.

Both sides start from the same initial noise and take four Euler steps; what is compared is the decoded
picture and the latents before it, for every number of Redux tokens that a mode can give.
"""

from itertools import pairwise
from types import SimpleNamespace

import mlx.core as mx
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity oracle: the reference modules run on torch")

from diffusers import AutoencoderKL, FluxTransformer2DModel  # noqa: E402
from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder  # noqa: E402
from diffusers.pipelines.flux.pipeline_flux import FluxPipeline, calculate_shift  # noqa: E402
from transformers import (  # noqa: E402
    CLIPTextConfig,
    CLIPTextModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    T5Config,
    T5EncoderModel,
)

from run_graph.runtime.networks import clip, redux, siglip, t5, vae  # noqa: E402
from run_graph.runtime.networks.token_counts import grid_for_mode  # noqa: E402
from run_graph.runtime.networks.token_grid import resize_grid  # noqa: E402
from run_graph.runtime.networks.transformer import FluxTransformer  # noqa: E402
from run_graph.runtime.sampling.flow import State  # noqa: E402
from run_graph.runtime.sampling.latents import unpack  # noqa: E402
from run_graph.runtime.sampling.loop import denoise, no_noise  # noqa: E402
from run_graph.runtime.sampling.noise import initial_noise  # noqa: E402
from run_graph.runtime.sampling.schedules import sigmas  # noqa: E402

WIDTH, HEIGHT, STEPS, GUIDANCE, SEED = 64, 48, 4, 3.5, 11
VISION, TEXT, POOLED = 48, 80, 40


@pytest.fixture
def references(randomise):
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    models = {
        "siglip": SiglipVisionModel(
            SiglipVisionConfig(
                hidden_size=VISION, intermediate_size=64, num_hidden_layers=1, num_attention_heads=3,
                image_size=384, patch_size=14,
            )
        ),
        "redux_encoder": ReduxImageEncoder(redux_dim=VISION, txt_in_features=TEXT),
        "t5_encoder": T5EncoderModel(
            T5Config(
                d_model=TEXT, d_kv=16, num_heads=4, d_ff=96, num_layers=2, vocab_size=64,
                feed_forward_proj="gated-gelu", tie_word_embeddings=False,
            )
        ),
        "clip_encoder": CLIPTextModel(
            CLIPTextConfig(
                hidden_size=POOLED, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                vocab_size=50, eos_token_id=49, bos_token_id=48, pad_token_id=49,
            )
        ),
        "transformer": FluxTransformer2DModel(
            in_channels=64, num_layers=1, num_single_layers=2, num_attention_heads=3, attention_head_dim=32,
            axes_dims_rope=(8, 12, 12), joint_attention_dim=TEXT, pooled_projection_dim=POOLED,
            guidance_embeds=True,
        ),
        "vae": AutoencoderKL(
            block_out_channels=(32, 64, 128, 128), layers_per_block=1, latent_channels=16, norm_num_groups=8,
            scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False,
            **blocks,
        ),
    }  # fmt: skip
    for seed, model in enumerate(models.values()):
        randomise(model, seed)
    return SimpleNamespace(**models)


@pytest.fixture
def inputs():
    rng = np.random.default_rng(0)
    clip_ids = rng.integers(0, 48, (1, 77))
    clip_ids[:, 9:] = 49
    return SimpleNamespace(
        pixels=rng.uniform(-1, 1, (1, 384, 384, 3)).astype(np.float32),
        t5_ids=rng.integers(0, 64, (1, 16)),
        clip_ids=clip_ids,
    )


def reference_pictures(models, inputs, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Final packed latents and decoded picture, written with diffusers' and transformers' modules."""
    pixels = torch.from_numpy(inputs.pixels).permute(0, 3, 1, 2)
    seen = models.redux_encoder(models.siglip(pixels).last_hidden_state).image_embeds
    grid = seen.transpose(1, 2).reshape(1, TEXT, 27, 27)
    seen = torch.nn.functional.interpolate(grid, (n, n), mode="area").flatten(2).transpose(1, 2)
    prompt = models.t5_encoder(torch.from_numpy(inputs.t5_ids)).last_hidden_state
    tokens = torch.cat([prompt, seen], dim=1)
    pooled = models.clip_encoder(torch.from_numpy(inputs.clip_ids)).pooler_output

    rows, columns = HEIGHT // 16, WIDTH // 16
    image_ids = FluxPipeline._prepare_latent_image_ids(1, rows, columns, "cpu", torch.float32)
    mu = np.exp(calculate_shift(rows * columns))
    levels = [*(mu / (mu + 1 / t - 1) for t in np.linspace(1, 1 / STEPS, STEPS)), 0.0]
    latents = torch.from_numpy(np.array(initial_noise(SEED, WIDTH, HEIGHT)))
    for sigma, following in pairwise(levels):
        velocity = models.transformer(
            hidden_states=latents, encoder_hidden_states=tokens, pooled_projections=pooled,
            timestep=torch.tensor([sigma], dtype=torch.float32), guidance=torch.tensor([GUIDANCE]),
            txt_ids=torch.zeros(tokens.shape[1], 3), img_ids=image_ids,
        ).sample  # fmt: skip
        latents = latents + (following - sigma) * velocity
    unpacked = FluxPipeline._unpack_latents(latents, HEIGHT, WIDTH, 8)
    picture = models.vae.decode(unpacked / 0.3611 + 0.1159).sample
    return latents.numpy(), (picture / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()


def our_pictures(components, inputs, n: int) -> tuple[mx.array, mx.array]:
    seen = redux.project(
        components.redux_encoder[0], siglip.encode(*components.siglip, mx.array(inputs.pixels))
    )
    prompt = t5.encode(*components.t5_encoder, mx.array(inputs.t5_ids))
    tokens = mx.concatenate([prompt, resize_grid(seen, n, "area")], axis=1)
    pooled = clip.pooled(*components.clip_encoder, mx.array(inputs.clip_ids))

    transformer = FluxTransformer(*components.transformer)
    prepared = transformer.prepare(tokens, pooled, GUIDANCE, height=HEIGHT, width=WIDTH)
    noise = initial_noise(SEED, WIDTH, HEIGHT)
    levels = sigmas(STEPS, WIDTH, HEIGHT, shift=True)
    *_, last = denoise(transformer, prepared, State(0, noise), levels, no_noise)
    return last.latents, vae.decode(*components.vae, unpack(last.latents, WIDTH, HEIGHT))


@pytest.mark.parametrize(
    ("mode", "count"), [("lowest", 25), ("low", 36), ("medium", 81), ("high", 169), ("highest", 729)]
)
def test_picture_equals_the_reference_pipeline(mode, count, references, inputs, load, agree):
    n = grid_for_mode(mode, 27)
    assert n * n == count
    components = SimpleNamespace(**{name: load(name, model) for name, model in vars(references).items()})
    with torch.no_grad():
        expected_latents, expected_picture = reference_pictures(references, inputs, n)
    latents, picture = our_pictures(components, inputs, n)
    assert picture.shape == (1, HEIGHT, WIDTH, 3)
    assert ((expected_picture > 0) & (expected_picture < 1)).mean() > 0.2
    agree(latents, expected_latents, label=f"latents after {STEPS} steps, {count} Redux tokens")
    agree(picture, expected_picture, label=f"picture, {count} Redux tokens")
