"""LoRAs: applying each format equals merging its update into the weights by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from lora_samples import FORMATS, Sample, Sizes, diffusers, kohya, lokr, up_and_down

from run_graph.runtime.errors import LoraError
from run_graph.runtime.models.assembly import leaves
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.loading import load_component
from run_graph.runtime.models.lora import adapted
from run_graph.runtime.models.lora_files import Lora, lora_digest
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.networks.transformer import FluxTransformer

# Products of sums against sums of products in float32; outputs are of size 1.
TOLERANCE = 1e-4


@pytest.fixture
def checkpoint(small_folder: Path) -> Checkpoint:
    return Checkpoint("small", folder=small_folder)


def velocity(transformer: FluxTransformer) -> mx.array:
    keys = mx.random.split(mx.random.key(3), 3)
    tokens, pooled = mx.random.normal((1, 5, 128), key=keys[0]), mx.random.normal((1, 64), key=keys[1])
    prepared = transformer.prepare(tokens, pooled, 3.5, height=64, width=64)
    return transformer.velocity(mx.random.normal((1, 16, 64), key=keys[2]), 0.7, prepared)


def merged(checkpoint: Checkpoint, *updates: tuple[Sample, float], bits: int | None = None) -> mx.array:
    """The network's output with the updates added to its weights, without any LoRA code."""
    loaded = load_component(checkpoint, "transformer", bits)
    by_name = dict(leaves(loaded.module))
    for sample, scale in updates:
        for layer, delta in sample.deltas.items():
            by_name[layer].weight = by_name[layer].weight + scale * mx.array(delta)
    return velocity(FluxTransformer(loaded.module, loaded.config))


def difference(one: mx.array, other: mx.array) -> float:
    return mx.abs(one - other).max().item()


@pytest.mark.parametrize("scale", [1.0, -0.5])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_equals_its_update_merged_by_hand(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora], form: str, scale: float
) -> None:
    sample = FORMATS[form](sizes)
    found = velocity(ModelStore().transformer(checkpoint, loras=(saved(sample, scale),)))
    assert difference(found, merged(checkpoint, (sample, scale))) < TOLERANCE
    assert difference(found, merged(checkpoint)) > 100 * TOLERANCE, "the update is not negligible"


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("form", ["ComfyUI", "XLabs", "original code, global layers", "LoKr of fused rows"])
def test_every_spelling_applies_to_quantised_weights(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora], form: str, bits: int
) -> None:
    plain = velocity(ModelStore().transformer(checkpoint, bits))
    found = velocity(ModelStore().transformer(checkpoint, bits, (saved(FORMATS[form](sizes)),)))
    exact = difference(merged(checkpoint, (FORMATS[form](sizes), 1)), merged(checkpoint))
    assert 0.5 * exact < difference(found, plain) < 2 * exact


def test_the_settings_that_peft_saves_beside_a_file_count(
    checkpoint: Checkpoint, sizes: Sizes, tmp_path: Path
) -> None:
    sample = FORMATS["PEFT"](sizes)
    path = sample.save(tmp_path / "adapter_model.safetensors")
    alone = lora_digest(path)
    assert difference(adapted_by(checkpoint, path), merged(checkpoint, (sample, 1))) < TOLERANCE
    settings = {"lora_alpha": 8, "r": 4, "use_rslora": False, "alpha_pattern": {"attn.to_q": 2}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    assert lora_digest(path) != alone
    deltas = {name: delta * (0.5 if "attn.to_q" in name else 2) for name, delta in sample.deltas.items()}
    expected = merged(checkpoint, (Sample({}, deltas), 1))
    assert difference(adapted_by(checkpoint, path), expected) < TOLERANCE


def adapted_by(checkpoint: Checkpoint, path: Path) -> mx.array:
    lora = Lora(lora_digest(path), 1.0, False, path.name, path)
    return velocity(ModelStore().transformer(checkpoint, loras=(lora,)))


def test_several_loras_add_up(checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]) -> None:
    samples = [diffusers(sizes, seed=1), kohya(sizes, seed=2), lokr(sizes, seed=3)]
    loras = tuple(saved(sample, 0.5, name=f"number {index}") for index, sample in enumerate(samples))
    found = velocity(ModelStore().transformer(checkpoint, loras=loras))
    assert difference(found, merged(checkpoint, *((sample, 0.5) for sample in samples))) < TOLERANCE


def test_differently_adapted_networks_do_not_affect_each_other(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    store = ModelStore()
    samples = [diffusers(sizes, seed=1), diffusers(sizes, seed=2)]
    plain = store.transformer(checkpoint)
    one, other = (
        store.transformer(checkpoint, loras=(saved(sample, name=str(index)),))
        for index, sample in enumerate(samples)
    )
    for _ in range(2):
        assert difference(velocity(plain), merged(checkpoint)) == 0
        assert difference(velocity(one), merged(checkpoint, (samples[0], 1))) < TOLERANCE
        assert difference(velocity(other), merged(checkpoint, (samples[1], 1))) < TOLERANCE


def test_adapted_networks_share_the_base_weights(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    store = ModelStore()
    base = store.get(checkpoint, "transformer")
    before = mx.get_active_memory()
    loras = [saved(diffusers(sizes, seed), name=str(seed)) for seed in (1, 2)]
    own = [store.get(checkpoint, "transformer", loras=(lora,)).nbytes for lora in loras]
    file_bytes = sum(array.nbytes for array in diffusers(sizes).tensors.values())
    assert own == [file_bytes, file_bytes]
    assert mx.get_active_memory() - before < 3 * file_bytes < base.nbytes / 30, (
        "no second copy of the weights"
    )
    assert list(store.loads.values()) == [1], "the transformer was loaded once"
    assert store.resident_bytes == base.nbytes + sum(own)


def test_the_same_lora_is_applied_once(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    store = ModelStore()
    first = store.transformer(checkpoint, loras=(saved(diffusers(sizes)),))
    copy = saved(diffusers(sizes), name="copy of it")
    assert store.transformer(checkpoint, loras=(copy,)) is first
    stronger = saved(diffusers(sizes), scale=2.0)
    assert store.transformer(checkpoint, loras=(stronger,)) is not first


def test_adapted_networks_are_evicted_with_their_base(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    loras = (saved(diffusers(sizes)),)
    roomy = ModelStore()
    roomy.transformer(checkpoint, loras=loras)
    store = ModelStore(memory_limit=roomy.resident_bytes)
    store.transformer(checkpoint, loras=loras)
    store.get(checkpoint, "image_embedder")
    assert [key.component for key, _ in store.resident()] == ["image_embedder"], "not only the base left"


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_a_lora_applies_to_quantised_weights(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora], bits: int
) -> None:
    sample = up_and_down(sizes)
    found = velocity(ModelStore().transformer(checkpoint, bits, (saved(sample),)))
    loaded = load_component(checkpoint, "transformer", bits)
    for name, layer in leaves(loaded.module):
        if name in sample.deltas:
            dense = nn.Linear(*reversed(sizes[name]), bias="bias" in layer)
            dense.weight = mx.dequantize(layer.weight, layer.scales, layer.biases, 64, bits)
            dense.weight = dense.weight + mx.array(sample.deltas[name])
            if "bias" in layer:
                dense.bias = layer.bias
            loaded.module.update_modules(nested(name, dense))
    assert difference(found, velocity(FluxTransformer(loaded.module, loaded.config))) < TOLERANCE


def nested(name: str, layer: nn.Module) -> dict[str, object]:
    """A tree of modules with only this layer, at its place."""
    from mlx.utils import tree_unflatten

    tree: dict[str, object] = tree_unflatten([(name, layer)])
    return tree


@pytest.mark.parametrize("bits", [4, 8])
def test_a_lokr_applies_to_quantised_weights(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora], bits: int
) -> None:
    plain = velocity(ModelStore().transformer(checkpoint, bits))
    found = velocity(ModelStore().transformer(checkpoint, bits, (saved(lokr(sizes)),)))
    assert difference(found, plain) > 100 * TOLERANCE


@pytest.mark.parametrize("bits", [3, 5, 6])
def test_a_lokr_is_refused_at_bits_that_mflux_miscounts(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora], bits: int
) -> None:
    with pytest.raises(
        LoraError, match=f"cannot apply to weights of {bits} bits. Set quantize to none, 4 or 8"
    ):
        ModelStore().get(checkpoint, "transformer", bits, (saved(lokr(sizes)),))


def test_unmatched_keys_can_be_skipped(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    sample = diffusers(sizes)
    text = {"lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha": np.array(1.0, np.float32)}
    lora = saved(Sample(sample.tensors | text, {}), skip=True)
    found = velocity(ModelStore().transformer(checkpoint, loras=(lora,)))
    assert difference(found, merged(checkpoint, (sample, 1))) < TOLERANCE


def test_a_refused_lora_leaves_the_base_network_unchanged(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    store = ModelStore()
    before = velocity(store.transformer(checkpoint))
    good = saved(diffusers(sizes), name="good")
    bad = saved(diffusers(dict.fromkeys(sizes, (4, 4))), name="bad")
    with pytest.raises(LoraError):
        store.transformer(checkpoint, loras=(good, bad))
    assert difference(velocity(store.transformer(checkpoint)), before) == 0


def test_mflux_still_miscounts_the_inputs_of_odd_bits() -> None:
    """Why LoKr is refused at 3, 5 and 6 bits: if this fails, the refusal is no longer necessary."""
    from mflux.models.common.lora.layer.linear_lokr_layer import LoKrLinear

    packed = nn.QuantizedLinear(128, 128, bits=5)
    with pytest.raises(ValueError, match="does not match"):
        LoKrLinear.from_linear(packed, mx.zeros((4, 4)), mx.zeros((32, 32)))


def test_the_base_network_is_not_changed(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    module = load_component(checkpoint, "transformer").module
    names = [name for name, _ in leaves(module)]
    network, nbytes = adapted(module, [saved(diffusers(sizes))])
    assert [name for name, _ in leaves(module)] == names
    assert network is not module
    assert nbytes > 0
