"""The transformer's behaviour that needs no reference: precision, batches, quantisation, guidance."""

import gc
import weakref
from functools import partial

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.loading import load_component
from run_graph.runtime.models.resolution import resolve_flux
from run_graph.runtime.models.tiny import TINY_FOLDER
from run_graph.runtime.networks import cpu
from run_graph.runtime.networks.modulation import LEVELS_AT_ONCE
from run_graph.runtime.networks.transformer import FluxTransformer, _run_blocks
from run_graph.runtime.sampling.noise import initial_noise

WIDTH, HEIGHT, SIGMA = 64, 48, 0.6


@pytest.fixture
def load():
    checkpoint = resolve_flux(str(TINY_FOLDER))

    def load(quantize: int | None = None, dtype: mx.Dtype = mx.float32) -> FluxTransformer:
        loaded = load_component(checkpoint, "transformer", quantize)
        loaded.module.set_dtype(dtype)
        return FluxTransformer(loaded.module, loaded.config)

    return load


def conditioning(batch: int = 1) -> tuple[mx.array, mx.array]:
    keys = mx.random.split(mx.random.key(0))
    return mx.random.normal((batch, 20, 128), key=keys[0]), mx.random.normal((batch, 64), key=keys[1])


def velocity(
    transformer: FluxTransformer, latents: mx.array, tokens: mx.array, pooled: mx.array
) -> np.ndarray:
    prepared = transformer.prepare(tokens, pooled, guidance=3.5, height=HEIGHT, width=WIDTH)
    return np.array(transformer.velocity(latents, SIGMA, prepared).astype(mx.float32))


def test_velocity_has_the_latents_shape_and_the_models_dtype(load):
    transformer = load(dtype=mx.bfloat16)
    latents = initial_noise(0, WIDTH, HEIGHT)
    prepared = transformer.prepare(*conditioning(), guidance=3.5, height=HEIGHT, width=WIDTH)
    result = transformer.velocity(latents, SIGMA, prepared)
    assert (result.shape, result.dtype) == (latents.shape, mx.bfloat16)
    assert (prepared.text.dtype, prepared.embedding.dtype) == (mx.bfloat16, mx.bfloat16)


@pytest.mark.parametrize(
    ("quantize", "dtype", "tolerance"),
    [(None, mx.bfloat16, 0.03), (8, mx.float32, 0.03), (4, mx.float32, 0.3)],
    ids=["bfloat16", "8-bit", "4-bit"],
)
def test_less_precision_stays_near_float32(quantize, dtype, tolerance, load):
    latents = initial_noise(0, WIDTH, HEIGHT)
    exact = velocity(load(), latents, *conditioning())
    rough = velocity(load(quantize, dtype), latents, *conditioning())
    error = np.linalg.norm(rough - exact) / np.linalg.norm(exact)
    assert 0 < error < tolerance


def test_a_batch_equals_its_members_alone(load):
    transformer = load()
    latents = mx.concatenate([initial_noise(seed, WIDTH, HEIGHT) for seed in (1, 2)])
    tokens, pooled = conditioning(batch=2)
    together = velocity(transformer, latents, tokens, pooled)
    for i in range(2):
        alone = velocity(transformer, latents[i : i + 1], tokens[i : i + 1], pooled[i : i + 1])
        np.testing.assert_allclose(together[i], alone[0], atol=1e-4)


def test_axes_that_do_not_fit_the_heads_are_refused(load):
    module = load().module
    with pytest.raises(CheckpointError, match=r"heads are 64 wide, .* \(16, 56, 56\) add up to 128"):
        FluxTransformer(module, {})


def test_adapted_layers_take_part(load):
    """LoRA replaces a Linear by a module of its own: the pass must call layers, never read their weights."""

    class Doubled(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def __call__(self, x: mx.array) -> mx.array:
            return 2 * self.inner(x)

    transformer = load()
    latents = initial_noise(0, WIDTH, HEIGHT)
    before = velocity(transformer, latents, *conditioning())
    attention = transformer.module.transformer_blocks[0].attn
    attention.to_out[0] = Doubled(attention.to_out[0])
    assert np.abs(velocity(transformer, latents, *conditioning()) - before).max() > 1e-3


def test_modulations_are_the_same_wherever_a_run_begins(load):
    transformer = load()
    prepared = transformer.prepare(*conditioning(), guidance=3.5, height=HEIGHT, width=WIDTH)
    levels = [1 - i / 40 for i in range(40)]
    through = transformer.modulations(prepared, levels)
    whole = [through.at(level) for level in levels]
    for start in (3, LEVELS_AT_ONCE, 39):
        resumed = transformer.modulations(prepared, levels)
        for level, theirs in zip(levels[start:], whole[start:], strict=True):
            ours = resumed.at(level)
            assert mx.array_equal(ours.out, theirs.out).item()
            assert mx.array_equal(ours.joint[0][1], theirs.joint[0][1]).item()
            assert mx.array_equal(ours.single[0], theirs.single[0]).item()


def test_modulations_of_a_level_in_between_are_computed(load):
    transformer = load()
    prepared = transformer.prepare(*conditioning(), guidance=3.5, height=HEIGHT, width=WIDTH)
    between = transformer.modulations(prepared, [1.0, 0.5]).at(0.7)
    alone = transformer.modulations(prepared, [0.7]).at(0.7)
    assert mx.array_equal(between.out, alone.out).item()
    assert not mx.allclose(between.out, transformer.modulations(prepared, [0.5]).at(0.5).out).item()


def test_one_prompt_serves_a_batch(load):
    transformer = load()
    latents = mx.concatenate([initial_noise(seed, WIDTH, HEIGHT) for seed in (1, 2)])
    tokens, pooled = conditioning()
    together = velocity(transformer, latents, tokens, pooled)
    for i in range(2):
        alone = velocity(transformer, latents[i : i + 1], tokens, pooled)
        np.testing.assert_allclose(together[i], alone[0], atol=1e-5)


def test_the_blocks_can_be_compiled(load, monkeypatch):
    """What happens on a GPU, as far as a CPU can tell: the function is traced, nothing is evaluated."""
    monkeypatch.setattr(cpu, "on_cpu", lambda: False)
    transformer = load()
    prepared = transformer.prepare(*conditioning(), guidance=3.5, height=HEIGHT, width=WIDTH)
    modulation = transformer.modulations(prepared, [SIGMA]).at(SIGMA)
    transformer._run = mx.compile(partial(_run_blocks, transformer.module))
    image = transformer.embed(initial_noise(0, WIDTH, HEIGHT))
    assert transformer.blocks(image, modulation, prepared).shape == image.shape


def test_weights_go_with_the_transformer_and_need_no_collector(load):
    gc.collect()
    gc.disable()
    try:
        transformer = load()
        velocity(transformer, initial_noise(0, WIDTH, HEIGHT), *conditioning())
        module = weakref.ref(transformer.module)
        del transformer
        assert module() is None
    finally:
        gc.enable()
