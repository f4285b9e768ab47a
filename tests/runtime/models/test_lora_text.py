"""LoRAs on the text encoders: applying each spelling equals merging its update into the weights by hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from lora_samples import Sample

from run_graph.runtime.errors import LoraError
from run_graph.runtime.models.assembly import leaves
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.component_key import needed_by
from run_graph.runtime.models.components import TEXT_ENCODERS
from run_graph.runtime.models.handles import TextEncoders
from run_graph.runtime.models.lora_files import Lora
from run_graph.runtime.models.lora_matching import examine, lora_of
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.models.text import encode_prompt

RANK, ALPHA = 2, 4.0

# A file's prefix for each encoder, and whether it writes dots.
SPELLINGS = {
    "kohya": ("lora_te1_", "lora_te2_", False),
    "kohya, third encoder": ("lora_te_", "lora_te3_", False),
    "diffusers": ("text_encoder.", "text_encoder_2.", True),
    "ComfyUI": ("text_encoders.clip_l.transformer.", "text_encoders.t5xxl.transformer.", True),
    "OneTrainer": ("clip_l.", "t5.", True),
}
CLIP_LAYERS = {
    f"text_model.encoder.layers.1.{name}": f"text_model.encoder.layers.1.{name}"
    for name in ("self_attn.q_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2")
}
T5_LAYERS = {
    "encoder.block.0.layer.0.SelfAttention.v": "t5_blocks.0.attention.SelfAttention.v",
    "encoder.block.1.layer.1.DenseReluDense.wi_0": "t5_blocks.1.ff.DenseReluDense.wi_0",
    "encoder.block.1.layer.1.DenseReluDense.wo": "t5_blocks.1.ff.DenseReluDense.wo",
}


@pytest.fixture
def handle(small_folder: Path) -> TextEncoders:
    return TextEncoders(Checkpoint("small", folder=small_folder))


@pytest.fixture
def sample(handle: TextEncoders) -> Callable[[str], Sample]:
    """A file in a spelling, and its updates of layers in memory at strength 1."""

    def make(spelling: str) -> Sample:
        rng, store = np.random.default_rng(0), ModelStore()
        clip, t5, dots = SPELLINGS[spelling]
        tensors, deltas = {}, {}
        for component, prefix, layers in (
            ("text_encoder", clip, CLIP_LAYERS),
            ("text_encoder_2", t5, T5_LAYERS),
        ):
            by_name = dict(leaves(store.component(handle, component).module))
            for published, layer in layers.items():
                rows, columns = by_name[layer].weight.shape
                up, down = (
                    rng.standard_normal(shape, np.float32) for shape in ((rows, RANK), (RANK, columns))
                )
                up /= np.sqrt(np.float32(columns * RANK))
                name = prefix + (published if dots else published.replace(".", "_"))
                tensors |= {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down}
                tensors[f"{name}.alpha"] = np.array(ALPHA, np.float32)
                deltas[layer] = up @ down * np.float32(ALPHA / RANK)
        return Sample(tensors, deltas)

    return make


def both(path: Path, scale: float = 1.0) -> Lora:
    return lora_of(path, path.name, scale, False, TEXT_ENCODERS)


def encoded(store: ModelStore, handle: TextEncoders) -> list[np.ndarray]:
    return [np.array(each.astype(mx.float32)) for each in encode_prompt(store, handle, "a fox in the snow")]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_equals_its_update_merged_by_hand(
    handle: TextEncoders, sample: Callable[[str], Sample], tmp_path: Path, spelling: str
) -> None:
    given, store = sample(spelling), ModelStore()
    lora = both(given.save(tmp_path / "style.safetensors"), 0.5)
    plain = encoded(store, handle)
    found = encoded(store, replace(handle, loras=(lora,)))
    for component in TEXT_ENCODERS:
        by_name = dict(leaves(store.component(handle, component).module))
        for layer in by_name.keys() & given.deltas.keys():
            by_name[layer].weight = by_name[layer].weight + 0.5 * mx.array(given.deltas[layer])
    for merged, own, before in zip(encoded(store, handle), found, plain, strict=True):
        largest = np.abs(merged).max()
        assert np.abs(merged - own).max() < 1e-4 * largest
        assert np.abs(merged - before).max() > 1e-2 * largest, "the update is not negligible"


def test_normalisations_are_changed_too(handle: TextEncoders, tmp_path: Path) -> None:
    store = ModelStore()
    gain, offset = np.full(64, 0.25, np.float32), np.linspace(-1, 1, 64, dtype=np.float32)
    names = {"text_model.encoder.layers.1.layer_norm2": "b_norm", "text_model.final_layer_norm": "diff_b"}
    tensors = {f"lora_te1_{name.replace('.', '_')}.w_norm": gain for name in names}
    tensors |= {f"lora_te1_{name.replace('.', '_')}.{end}": offset for name, end in names.items()}
    t5 = "encoder.block.1.layer.1.layer_norm"
    tensors[f"text_encoder_2.{t5}.diff"] = np.full(128, -0.5, np.float32)
    lora = both(Sample(tensors, {}).save(tmp_path / "norms.safetensors"), -0.5)
    found = encoded(store, replace(handle, loras=(lora,)))
    plain = encoded(store, handle)
    clip = dict(leaves(store.component(handle, "text_encoder").module))
    for name in names:
        clip[name].weight = clip[name].weight - 0.5 * mx.array(gain)
        clip[name].bias = clip[name].bias - 0.5 * mx.array(offset)
    norm = dict(leaves(store.component(handle, "text_encoder_2").module))["t5_blocks.1.ff.layer_norm"]
    norm.weight = norm.weight + 0.25
    for merged, own, before in zip(encoded(store, handle), found, plain, strict=True):
        assert np.abs(merged - own).max() < 1e-4 * np.abs(merged).max()
        assert np.abs(merged - before).max() > 1e-2 * np.abs(merged).max()


def test_networks_that_a_lora_does_not_change_are_not_adapted(
    handle: TextEncoders, sample: Callable[[str], Sample], tmp_path: Path
) -> None:
    given = sample("kohya")
    clip_only = Sample({name: each for name, each in given.tensors.items() if "te1" in name}, {})
    path = clip_only.save(tmp_path / "clip.safetensors")
    lora = lora_of(path, "clip", 1.0, False, ("text_encoder",))
    adapted, store = replace(handle, loras=(lora,)), ModelStore()
    assert store.component(adapted, "text_encoder_2") is store.component(handle, "text_encoder_2")
    assert store.component(adapted, "text_encoder") is not store.component(handle, "text_encoder")
    keys = {(key.component, bool(key.loras)) for key in needed_by([adapted])}
    assert keys == {("text_encoder", True), ("text_encoder", False), ("text_encoder_2", False)}


def test_for_the_transformer_alone_text_encoders_keys_are_unmatched(
    sample: Callable[[str], Sample], tmp_path: Path
) -> None:
    given = sample("kohya")
    given.tensors["lora_unet_single_blocks_0_linear2.lora_up.weight"] = np.zeros((4, 2), np.float32)
    given.tensors["lora_unet_single_blocks_0_linear2.lora_down.weight"] = np.zeros((2, 4), np.float32)
    path = given.save(tmp_path / "style.safetensors")
    skipped = examine(path)
    assert len(skipped.unmatched) == len(given.tensors) - 2
    assert examine(path, components=("transformer", *TEXT_ENCODERS)).unmatched == {}


def test_a_lora_for_another_width_is_refused_by_its_key(handle: TextEncoders, tmp_path: Path) -> None:
    name = "lora_te1_text_model_encoder_layers_0_mlp_fc1"
    tensors = {f"{name}.lora_up.weight": np.zeros((3072, 2)), f"{name}.lora_down.weight": np.zeros((2, 768))}
    path = Sample({key: array.astype(np.float32) for key, array in tensors.items()}, {}).save(
        tmp_path / "real.safetensors"
    )
    with pytest.raises(LoraError, match=rf"{name}\.lora_down\.weight has shape \(2, 768\)"):
        ModelStore().component(replace(handle, loras=(both(path),)), "text_encoder")
