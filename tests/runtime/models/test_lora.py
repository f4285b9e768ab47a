"""LoRAs: applying each format equals merging its update into the weights by hand."""

import json
import os
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from lora_samples import FORMATS, SPELLINGS, Sample, Sizes, diffusers, kohya, lokr
from mlx.utils import tree_unflatten

from run_graph.runtime.errors import LoraError
from run_graph.runtime.models.assembly import leaves
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.loading import load_component
from run_graph.runtime.models.lora import adapted
from run_graph.runtime.models.lora_files import Lora, lora_digest
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.networks.transformer import FluxTransformer

# Products of sums against sums of products in float32.
TOLERANCE = 1e-4
# Every format at every strength and precision, and every pair of forms: some minutes.
EVERYTHING = bool(os.environ.get("RUN_GRAPH_ALL_LORAS"))


@pytest.fixture
def checkpoint(small_folder: Path) -> Checkpoint:
    return Checkpoint("small", folder=small_folder)


def velocity(transformer: FluxTransformer) -> mx.array:
    keys = mx.random.split(mx.random.key(3), 3)
    tokens, pooled = mx.random.normal((1, 5, 128), key=keys[0]), mx.random.normal((1, 64), key=keys[1])
    prepared = transformer.prepare(tokens, pooled, 3.5, height=64, width=64)
    return transformer.velocity(mx.random.normal((1, 16, 64), key=keys[2]), 0.7, prepared)


def merged(checkpoint: Checkpoint, *updates: tuple[Sample, float], bits: int | None = None) -> mx.array:
    """The network's output with the updates merged into its (dequantised) weights, without any LoRA code."""
    loaded = load_component(checkpoint, "transformer", bits)
    layers = {name: layer for name, layer in leaves(loaded.module) if "weight" in layer}
    before = {name: dense(layer) for name, layer in layers.items()}
    weights, biases = dict(before), {}
    for sample, scale in updates:
        weights = sample.merged(weights, scale)
        for name, bias in sample.biases.items():
            biases[name] = biases.get(name, 0) + np.float32(scale) * bias
    for name, layer in layers.items():
        if weights[name] is not before[name] or name in biases:
            put(loaded.module, name, layer, weights[name], biases.get(name))
    return velocity(FluxTransformer(loaded.module, loaded.config))


def dense(layer: Any) -> np.ndarray:
    if "scales" in layer:
        return np.array(mx.dequantize(layer.weight, layer.scales, layer.biases, layer.group_size, layer.bits))
    return np.array(layer.weight)


def put(module: Any, name: str, layer: Any, weight: np.ndarray, bias: np.ndarray | None) -> None:
    """Replace a layer by one with this weight; `bias` is added to its bias."""
    if weight.ndim == 1:
        layer.weight = mx.array(weight)
        return
    own = [np.array(layer.bias)] if "bias" in layer else []
    new = nn.Linear(*reversed(weight.shape), bias=bool(own) or bias is not None)
    new.weight = mx.array(weight)
    if "bias" in new:
        new.bias = mx.array(sum([*own, *([] if bias is None else [bias])], np.float32(0)))
    tree: Any = tree_unflatten([(name, new)])
    module.update_modules(tree)


def difference(one: mx.array, other: mx.array) -> float:
    """The largest difference, relative to the largest number."""
    return (mx.abs(one - other).max() / mx.abs(other).max()).item()


CASES = [(1.0, None), (-0.5, 4), *([(-0.5, None), (1.0, 4)] if EVERYTHING else [])]


@pytest.mark.parametrize(("scale", "bits"), CASES)
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_equals_its_update_merged_by_hand(
    checkpoint: Checkpoint,
    sizes: Sizes,
    saved: Callable[..., Lora],
    form: str,
    scale: float,
    bits: int | None,
) -> None:
    sample = FORMATS[form](sizes)
    found = velocity(ModelStore().transformer(checkpoint, bits, (saved(sample, scale),)))
    assert difference(found, merged(checkpoint, (sample, scale), bits=bits)) < TOLERANCE
    assert difference(found, merged(checkpoint, bits=bits)) > 100 * TOLERANCE, "the update is not negligible"


# DoRAs depend on the weights that they find, so order counts; each kind is before and after another.
STACKS = (
    ("kohya", "DoRA", "LoHa", "uneven LoKr with magnitudes", "differences", "XLabs"),
    (
        "replaced weights",
        "LoHa with magnitudes",
        "LoKr of fused rows",
        "DoRA of columns",
        "biases",
        "PEFT DoRA",
    ),
)

# One spelling of each form.
FORMS = sorted({*FORMATS} - {*SPELLINGS, "diffusers", "bare names", "up and down"})


@pytest.mark.parametrize("bits", [None, 4])
@pytest.mark.parametrize("stack", [*STACKS, *(permutations(FORMS, 2) if EVERYTHING else [])], ids="+".join)
def test_stacked_formats_equal_their_updates_merged_in_order(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora], stack: Sequence[str], bits: int | None
) -> None:
    scales = [1.0, -0.5] * len(stack)
    updates = [(FORMATS[form](sizes, seed=seed), scales[seed]) for seed, form in enumerate(stack)]
    loras = tuple(saved(sample, scale, name=str(index)) for index, (sample, scale) in enumerate(updates))
    found = velocity(ModelStore().transformer(checkpoint, bits, loras))
    assert difference(found, merged(checkpoint, *updates, bits=bits)) < TOLERANCE


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


def test_quantised_weights_stay_packed(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    store = ModelStore()
    for form in ("kohya", "DoRA", "LoHa", "uneven LoKr with magnitudes"):
        sample = FORMATS[form](sizes)
        own = store.get(checkpoint, "transformer", 4, (saved(sample, name=form),)).nbytes
        layers = {layer for each in sample.decomposed for layer in each.layers}
        factors = sum(4 * sizes[layer][0] for layer in layers)
        assert own <= 3 * sum(array.nbytes for array in sample.tensors.values()) + factors, form


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


@pytest.mark.parametrize("bits", [3, 5, 6, 8])
@pytest.mark.parametrize("form", ["up and down", "LoKr", "PEFT DoRA"])
def test_every_precision_can_be_changed(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora], form: str, bits: int
) -> None:
    sample = FORMATS[form](sizes)
    found = velocity(ModelStore().transformer(checkpoint, bits, (saved(sample),)))
    assert difference(found, merged(checkpoint, (sample, 1), bits=bits)) < TOLERANCE


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


def test_the_base_network_is_not_changed(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    module = load_component(checkpoint, "transformer").module
    names = [name for name, _ in leaves(module)]
    network, nbytes = adapted(module, [saved(diffusers(sizes))])
    assert [name for name, _ in leaves(module)] == names
    assert network is not module
    assert nbytes > 0
