"""FLUX's transformer against diffusers."""

import mlx.core as mx
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity oracle: diffusers' FluxTransformer2DModel runs on torch")

from diffusers import FluxTransformer2DModel  # noqa: E402

from run_graph.runtime.networks.transformer import FluxTransformer  # noqa: E402

WIDTHS = {
    "3-heads-of-64": {"num_attention_heads": 3, "attention_head_dim": 64, "axes_dims_rope": (16, 24, 24)},
    "4-heads-of-32": {"num_attention_heads": 4, "attention_head_dim": 32, "axes_dims_rope": (8, 12, 12)},
    "2-heads-of-128": {"num_attention_heads": 2, "attention_head_dim": 128, "axes_dims_rope": (16, 56, 56)},
}
TEXT_WIDTH, POOLED_WIDTH = 80, 40


@pytest.fixture
def pair(randomise, load):
    def build(widths: str = "3-heads-of-64", guided: bool = True):
        reference = FluxTransformer2DModel(
            in_channels=64, num_layers=2, num_single_layers=3, joint_attention_dim=TEXT_WIDTH,
            pooled_projection_dim=POOLED_WIDTH, guidance_embeds=guided, **WIDTHS[widths],
        )  # fmt: skip
        return randomise(reference), FluxTransformer(*load("transformer", reference))

    return build


def inputs(batch: int, text_tokens: int, height: int, width: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    shapes = (
        (batch, height // 16 * (width // 16), 64),
        (batch, text_tokens, TEXT_WIDTH),
        (batch, POOLED_WIDTH),
    )
    return tuple(rng.standard_normal(shape).astype(np.float32) for shape in shapes)


def reference_velocity(model, latents, tokens, pooled, sigma, guidance, height, width, bias=None):
    batch, rows, columns = latents.shape[0], height // 16, width // 16
    image_ids = torch.zeros(rows, columns, 3)
    image_ids[..., 1] += torch.arange(rows)[:, None]
    image_ids[..., 2] += torch.arange(columns)[None, :]
    with torch.no_grad():
        return model(
            hidden_states=torch.from_numpy(latents),
            encoder_hidden_states=torch.from_numpy(tokens),
            pooled_projections=torch.from_numpy(pooled),
            timestep=torch.full((batch,), sigma),
            guidance=torch.full((batch,), guidance) if model.config.guidance_embeds else None,
            txt_ids=torch.zeros(tokens.shape[1], 3),
            img_ids=image_ids.reshape(-1, 3),
            joint_attention_kwargs=None if bias is None else {"attention_mask": torch.from_numpy(bias)},
        ).sample


@pytest.mark.parametrize("guided", [True, False], ids=["guided", "unguided"])
@pytest.mark.parametrize("widths", WIDTHS)
def test_velocity_equals_diffusers(widths, guided, pair, agree):
    reference, ours = pair(widths, guided)
    latents, tokens, pooled = inputs(batch=1, text_tokens=9, height=64, width=96)
    prepared = ours.prepare(mx.array(tokens), mx.array(pooled), 3.5, height=64, width=96)
    for sigma in (1.0, 0.37):
        expected = reference_velocity(reference, latents, tokens, pooled, sigma, 3.5, 64, 96)
        agree(ours.velocity(mx.array(latents), sigma, prepared), expected)


def test_a_batch_of_prompts_equals_diffusers(pair, agree):
    reference, ours = pair()
    latents, tokens, pooled = inputs(batch=3, text_tokens=5, height=48, width=32)
    prepared = ours.prepare(mx.array(tokens), mx.array(pooled), 2.0, height=48, width=32)
    expected = reference_velocity(reference, latents, tokens, pooled, 0.8, 2.0, 48, 32)
    agree(ours.velocity(mx.array(latents), 0.8, prepared), expected)


def test_an_attention_bias_equals_diffusers_attention_mask(pair, agree):
    reference, ours = pair()
    latents, tokens, pooled = inputs(batch=1, text_tokens=6, height=32, width=48)
    length = tokens.shape[1] + latents.shape[1]
    bias = np.zeros((1, 1, length, length), np.float32)
    bias[..., 3:6] = np.log(0.2)
    prepared = ours.prepare(mx.array(tokens), mx.array(pooled), 3.5, 32, 48, attention_bias=mx.array(bias))
    velocity = ours.velocity(mx.array(latents), 0.6, prepared)
    agree(velocity, reference_velocity(reference, latents, tokens, pooled, 0.6, 3.5, 32, 48, bias))
    unbiased = reference_velocity(reference, latents, tokens, pooled, 0.6, 3.5, 32, 48).numpy()
    assert np.abs(np.array(velocity) - unbiased).max() > 1e-2


def test_guidance_changes_only_a_guided_checkpoint(pair):
    latents, tokens, pooled = inputs(batch=1, text_tokens=4, height=32, width=32)
    for guided in (True, False):
        _, ours = pair(guided=guided)
        weak, strong = (
            np.array(
                ours.velocity(
                    mx.array(latents), 0.5, ours.prepare(mx.array(tokens), mx.array(pooled), g, 32, 32)
                )
            )
            for g in (1.0, 4.0)
        )
        assert np.array_equal(weak, strong) == (not guided)
