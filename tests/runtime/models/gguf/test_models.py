"""Models in GGUF files compute what the `gguf` package decodes, and their weights stay packed."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from gguf_samples import decoded, llama_t5, quantised, write_gguf
from model_layouts import original_transformer, published, write

from run_graph.nodes import (
    CLIPTextEncode,
    DualCLIPLoader,
    DualCLIPLoaderGGUF,
    FluxSample,
    KSampler,
    LoadFlux,
    UNETLoader,
    UnetLoaderGGUF,
)
from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.files.atomic import SaveError
from run_graph.runtime.models.assembly import leaves
from run_graph.runtime.models.components import Component
from run_graph.runtime.models.layouts.gguf_types import BLOCK_TYPES
from run_graph.runtime.models.loading import load_component
from run_graph.runtime.models.lora_files import Lora, lora_digest
from run_graph.runtime.models.resolution import from_files
from run_graph.runtime.models.saving import write_component
from run_graph.runtime.models.sizes import estimated_bytes
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.testing import NodeBench
from run_graph.runtime.values import Conditioning, Entry, Latent
from training.layout.shapes import SHAPES
from training.layout.spec import TinySpec

# Rows of 256, into which blocks of that size fit.
WIDE = TinySpec(heads=4, joint_blocks=1, single_blocks=3)


def wide_transformer() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name: rng.standard_normal(shape, np.float32) / np.sqrt(shape[-1], dtype=np.float32)
        for name, shape in SHAPES["transformer"](WIDE)
    }


def packed_layers(module: Any) -> Counter[tuple[int, int]]:
    kinds = (nn.QuantizedLinear, nn.QuantizedEmbedding)
    layers = [layer for _, layer in leaves(module) if isinstance(layer, kinds)]
    return Counter((layer.bits, layer.group_size) for layer in layers)


def weights(module: Any) -> dict[str, np.ndarray]:
    """The weights of all layers as floats."""
    found = {}
    for path, layer in leaves(module):
        if isinstance(layer, (nn.QuantizedLinear, nn.QuantizedEmbedding)):
            array = mx.dequantize(layer.weight, layer.scales, layer.biases, layer.group_size, layer.bits)
            found[path] = np.array(array)
        elif "weight" in layer:
            found[path] = np.array(layer.weight)
    return found


def sample(
    model: Path, folder: Path, store: ModelStore | None = None, loras: tuple[Lora, ...] = ()
) -> np.ndarray:
    bench = NodeBench(folder, store)
    tokens, pooled = (mx.random.normal(shape, key=mx.random.key(9)) for shape in ((1, 20, 128), (1, 64)))
    flux = replace(bench.run(LoadFlux(model=str(model))).flux, loras=loras)
    conditioning = Conditioning((Entry(tokens, pooled, "a fox"),))
    node = FluxSample(flux=flux, conditioning=conditioning, width=48, height=32, steps=2, seed=1)
    return np.array(bench.run(node).latent.samples)


MODELS: dict[str, tuple[Component, Callable[[], dict[str, np.ndarray]], str]] = {
    "the original layers' names": ("transformer", original_transformer, "flux"),
    "diffusers' names": ("transformer", lambda: published("transformer"), "flux"),
    "llama.cpp's names of T5": ("text_encoder_2", llama_t5, "t5encoder"),
    "CLIP": ("text_encoder", lambda: published("text_encoder"), "pig"),
}


@pytest.mark.parametrize("kind", ["Q8_0", "Q5_1", "Q4_0", "F16", "BF16"])
@pytest.mark.parametrize("model", MODELS)
def test_weights_are_those_that_llama_cpp_decodes(tmp_path: Path, model: str, kind: str) -> None:
    component, tensors, architecture = MODELS[model]
    made = quantised(tensors(), kind)
    path = write_gguf(tmp_path / "model.gguf", made, architecture)
    plain = {"text_encoder_2": published}.get(component)
    names = published("text_encoder_2") if plain else None
    floats = decoded(made)
    if names is not None:  # the order of both is the same
        floats = dict(zip(names, floats.values(), strict=True))
    reference = write(tmp_path / "plain.safetensors", floats)
    found = load_component(from_files("model", [path]), component).module
    expected = load_component(from_files("model", [reference]), component).module
    if kind in BLOCK_TYPES:
        assert packed_layers(found)[BLOCK_TYPES[kind].bits, 32] > 5
    ours, theirs = weights(found), weights(expected)
    assert ours.keys() == theirs.keys()
    for path_in_tree, array in theirs.items():
        limit = 2**-11 * np.abs(array).max()
        np.testing.assert_allclose(ours[path_in_tree], array, rtol=0, atol=limit, err_msg=path_in_tree)


def test_a_file_mixes_types_layer_by_layer(tmp_path: Path) -> None:
    made = {}
    for index, (name, array) in enumerate(wide_transformer().items()):
        kind = list(BLOCK_TYPES)[index % len(BLOCK_TYPES)]
        made |= quantised({name: array}, kind)
    path = write_gguf(tmp_path / "mixed.gguf", made)
    reference = write(tmp_path / "plain.safetensors", decoded(made))
    loaded = load_component(from_files("model", [path]), "transformer")
    assert set(packed_layers(loaded.module)) == {(4, 32), (5, 32), (8, 32)}
    theirs = weights(load_component(from_files("model", [reference]), "transformer").module)
    for name, array in weights(loaded.module).items():
        error = np.sqrt(((array - theirs[name]) ** 2).mean() / (theirs[name] ** 2).mean())
        assert error < 0.06, f"{name}: types with a scale for 16 weights are quantised again"


def test_the_latent_is_that_of_the_decoded_weights(tmp_path: Path) -> None:
    made = quantised(original_transformer(), "Q8_0")
    path = write_gguf(tmp_path / "flux1-dev-Q8_0.gguf", made)
    reference = write(tmp_path / "plain.safetensors", decoded(made))
    expected = sample(reference, tmp_path)
    found = sample(path, tmp_path)
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())
    streamed = sample(path, tmp_path, ModelStore(low_ram=True))
    np.testing.assert_array_equal(streamed, found)


def test_a_lora_changes_packed_weights_as_it_changes_floats(tmp_path: Path) -> None:
    made = quantised(original_transformer(), "Q4_1")
    up, down = np.random.default_rng(1).standard_normal((2, 192, 4), np.float32) / 4
    layer = "lora_unet_double_blocks_0_img_attn_proj"
    lora = {f"{layer}.lora_up.weight": up, f"{layer}.lora_down.weight": np.ascontiguousarray(down.T)}
    file = write(tmp_path / "lora.safetensors", lora)
    found = Lora(lora_digest(file), 1.0, False, "lora", file)
    floats = decoded(made)
    floats["double_blocks.0.img_attn.proj.weight"] += up @ down.T
    path = write_gguf(tmp_path / "m.gguf", made)
    reference = write(tmp_path / "merged.safetensors", floats)
    changed = sample(path, tmp_path, loras=(found,))
    expected = sample(reference, tmp_path)
    np.testing.assert_allclose(changed, expected, atol=2e-3 * np.abs(expected).max())
    assert np.abs(changed - sample(path, tmp_path)).max() > 0.1


def test_a_workflow_of_comfyui_gguf_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    models = tmp_path_factory.mktemp("models")
    monkeypatch.setenv("RUN_GRAPH_MODELS", str(models))
    (models / "unet").mkdir()
    (models / "clip").mkdir()
    write_gguf(models / "unet" / "flux1-dev-Q8_0.gguf", quantised(original_transformer(), "Q8_0"))
    write_gguf(models / "clip" / "t5-encoder-Q8_0.gguf", quantised(llama_t5(), "Q8_0"), "t5encoder")
    write(models / "clip" / "clip_l.safetensors", published("text_encoder"))
    pictures = []
    for nodes in (
        {
            "model": UnetLoaderGGUF(unet_name="flux1-dev-q8_0.gguf"),
            "clip": DualCLIPLoaderGGUF(
                clip_name1="clip_l.safetensors", clip_name2="t5-encoder-Q8_0.gguf", type="flux"
            ),
        },
        {
            "model": UNETLoader(unet_name="flux1-tiny"),
            "clip": DualCLIPLoader(clip_name1="clip_l_tiny", clip_name2="t5xxl_tiny", type="flux"),
        },
    ):
        bench = NodeBench(tmp_path)
        model, clip = (getattr(bench.run(node), name) for name, node in nodes.items())
        text = bench.run(CLIPTextEncode(clip=clip, text="a fox in the snow")).conditioning
        noise = Latent(mx.zeros((1, 4, 6, 16)))
        node = KSampler(
            model=model, positive=text, negative=text, latent_image=noise, steps=2, cfg=1.0, seed=1
        )
        pictures.append(np.array(bench.run(node).latent.samples))
    packed, plain = pictures
    error = np.sqrt(((packed - plain) ** 2).mean() / plain.var())
    assert 0 < error < 0.05


def test_one_tensor_at_a_time_is_decoded(tmp_path: Path) -> None:
    spec = TinySpec(heads=12, joint_blocks=1, single_blocks=3)
    rng = np.random.default_rng(0)
    tensors = {name: rng.random(shape, np.float32) for name, shape in SHAPES["transformer"](spec)}
    path = write_gguf(tmp_path / "large.gguf", quantised(tensors, "Q6_K"))
    largest = 4 * max(array.size for array in tensors.values())
    checkpoint = from_files("model", [path])
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    loaded = load_component(checkpoint, "transformer")
    added = mx.get_peak_memory() - before
    assert added < loaded.nbytes + 4 * largest < 4 * sum(array.size for array in tensors.values())


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q5_1"])
def test_sizes_are_known_from_headers_alone(tmp_path: Path, kind: str) -> None:
    path = write_gguf(tmp_path / "m.gguf", quantised(original_transformer(), kind))
    checkpoint = from_files("model", [path])
    loaded = load_component(checkpoint, "transformer")
    estimate = estimated_bytes(checkpoint.source("transformer"), None, 4)
    assert 0.99 * loaded.nbytes < estimate < 1.01 * loaded.nbytes


def test_what_is_packed_is_not_quantised_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tensors = original_transformer()
    made = quantised(tensors, "Q8_0") | {"img_in.weight": (tensors["img_in.weight"], "F32")}
    path = write_gguf(tmp_path / "m.gguf", made)
    with caplog.at_level(logging.WARNING):
        loaded = load_component(from_files("model", [path]), "transformer", 4)
    assert "is stored as Q8_0; quantize=4 applies to its other weights only" in caplog.text
    assert packed_layers(loaded.module)[4, 64] == 1
    assert packed_layers(loaded.module)[8, 32] > 20


def test_types_that_are_not_read_are_named(tmp_path: Path) -> None:
    tensors = original_transformer()
    rows, columns = tensors["img_in.weight"].shape
    nonlinear = np.zeros((rows, columns // 32 * 18), np.uint8)
    made = quantised(tensors, "Q8_0") | {"img_in.weight": (nonlinear, "IQ4_NL")}
    path = write_gguf(tmp_path / "m.gguf", made)
    message = r"m\.gguf stores weights as IQ4_NL, which is not read\. Use a file in Q8_0, Q6_K, .*Q4_K_S"
    with pytest.raises(CheckpointError, match=message):
        load_component(from_files("model", [path]), "transformer")


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", quantised(original_transformer(), "Q8_0"))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"m\.gguf is damaged or cut short"):
        from_files("model", [path])


def test_weights_that_mfluxs_files_cannot_hold_are_not_saved(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", quantised(original_transformer(), "Q8_0"))
    loaded = load_component(from_files("model", [path]), "transformer")
    with pytest.raises(SaveError, match="comes from a GGUF file"):
        write_component(tmp_path, "transformer", loaded)
    assert not (tmp_path / "transformer").exists()
