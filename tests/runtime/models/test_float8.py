"""Numbers of 8 bits are decoded exactly, in every component and with every kind of scale, or refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import pytest
from lora_samples import Sizes, kohya
from model_layouts import (
    FLOAT8,
    Raw,
    as_float8,
    original_transformer,
    prefixed,
    published,
    write,
    write_folder,
)

from run_graph.runtime.errors import CheckpointError, LoraError
from run_graph.runtime.models.assembly import named
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import COMPONENTS, Component
from run_graph.runtime.models.layouts.decoding import float_of_bytes
from run_graph.runtime.models.loading import load_component
from run_graph.runtime.models.lora import adapted
from run_graph.runtime.models.lora_files import Lora, lora_digest
from run_graph.runtime.models.lora_matching import examine
from run_graph.runtime.models.resolution import resolve_flux


class Written(NamedTuple):
    """What a file has, and what its weights mean."""

    tensors: dict[str, Any]
    meant: dict[str, np.ndarray]
    metadata: dict[str, str]


Form = Callable[[dict[str, np.ndarray], str], Written]


def plain(weights: dict[str, np.ndarray], dtype: str) -> Written:
    """Every tensor in 8 bits, biases and norms too."""
    rounded = {name: as_float8(array, dtype) for name, array in weights.items()}
    return Written({n: raw for n, (raw, _) in rounded.items()}, {n: m for n, (_, m) in rounded.items()}, {})


def _scaled(weights: dict[str, np.ndarray], dtype: str, ending: str, rows: bool = False) -> Written:
    written = Written({}, {}, {})
    for name, array in weights.items():
        layer, _, kind = name.rpartition(".")
        if kind != "weight" or array.ndim != 2:
            written.tensors[name] = written.meant[name] = array
            continue
        largest = np.abs(array).max(axis=1, keepdims=True) if rows else np.abs(array).max()
        scale = (largest / 400).astype(np.float32)
        raw, meant = as_float8(array / scale, dtype)
        written.tensors.update({name: raw, f"{layer}.{ending}": scale})
        written.meant[name] = meant * scale
    return written


def older(weights: dict[str, np.ndarray], dtype: str) -> Written:
    """ComfyUI's first form."""
    written = _scaled(weights, dtype, "scale_weight")
    for name in [name for name in written.tensors if name.endswith("scale_weight")]:
        written.tensors[name.replace("scale_weight", "scale_input")] = np.ones((), np.float32)
    written.tensors["scaled_fp8"] = Raw(dtype, (2,), bytes(2))
    return written


def newer(weights: dict[str, np.ndarray], dtype: str) -> Written:
    """ComfyUI's second form."""
    written = _scaled(weights, dtype, "weight_scale")
    text = np.frombuffer(json.dumps({"format": _FORMATS[dtype]}).encode(), np.uint8)
    for name in [name for name in written.tensors if name.endswith("weight_scale")]:
        written.tensors[name.replace("weight_scale", "comfy_quant")] = text
        written.tensors[name.replace("weight_scale", "input_scale")] = np.ones((), np.float32)
    return written


def in_metadata(weights: dict[str, np.ndarray], dtype: str) -> Written:
    """ComfyUI's second form, with the formats in the file's metadata."""
    written = _scaled(weights, dtype, "weight_scale")
    layers = {name.removesuffix(".weight_scale") for name in written.tensors if name.endswith("weight_scale")}
    settings = {"layers": {layer: {"format": _FORMATS[dtype]} for layer in layers}}
    return written._replace(metadata={"_quantization_metadata": json.dumps(settings)})


def by_row(weights: dict[str, np.ndarray], dtype: str) -> Written:
    """A scale for each row."""
    return _scaled(weights, dtype, "weight_scale", rows=True)


_FORMATS = {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
FORMS: list[Form] = [plain, older, newer, in_metadata, by_row]


def parameters(checkpoint: Checkpoint, component: Component) -> dict[str, np.ndarray]:
    module = load_component(checkpoint, component).module
    return {name: np.array(array) for name, array in named(module.parameters()).items()}


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, name)


@pytest.mark.parametrize("dtype", FLOAT8)
def test_every_code_is_decoded_as_the_standard_defines_it(dtype: str) -> None:
    codes = mx.array(np.arange(256, dtype=np.uint8))
    found = np.array(float_of_bytes(codes, dtype).astype(mx.float32))
    np.testing.assert_array_equal(found, FLOAT8[dtype].astype(np.float32))
    assert (np.signbit(found) == (np.arange(256) >= 128))[np.isfinite(found)].all(), "-0 stays -0"


@pytest.mark.parametrize(
    ("dtype", "form"), [("F8_E5M2", plain), ("F8_E5M2", newer), *(("F8_E4M3", form) for form in FORMS)]
)
@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_in_8_bits_is_what_its_numbers_mean(
    tmp_path: Path, component: Component, form: Form, dtype: str
) -> None:
    written = form(published(component), dtype)
    folder = write_folder(tmp_path / "eight", component, written.tensors, **written.metadata)
    same = write_folder(tmp_path / "same", component, written.meant)
    assert_equal(
        parameters(Checkpoint("eight", folder=folder), component),
        parameters(Checkpoint("same", folder=same), component),
    )


@pytest.mark.parametrize("form", FORMS)
def test_scales_of_fused_layers_are_applied_before_they_are_divided(tmp_path: Path, form: Form) -> None:
    prefix = "model.diffusion_model."
    written = form(original_transformer(), "F8_E4M3")
    path = write(tmp_path / "a.safetensors", prefixed(written.tensors, prefix), written.metadata)
    same = write(tmp_path / "b.safetensors", prefixed(written.meant, prefix))
    assert_equal(
        parameters(resolve_flux(str(path)), "transformer"), parameters(resolve_flux(str(same)), "transformer")
    )


def test_8_bits_are_quantised_further_on_load(tmp_path: Path) -> None:
    written = older(published("transformer"), "F8_E5M2")
    folder = write_folder(tmp_path / "eight", "transformer", written.tensors)
    same = write_folder(tmp_path / "same", "transformer", written.meant)
    layers = [
        load_component(
            Checkpoint(place.name, folder=place), "transformer", 4
        ).module.single_transformer_blocks[0]
        for place in (folder, same)
    ]
    for name in ("weight", "scales", "biases"):
        first, second = (layer.proj_mlp[name] for layer in layers)
        assert mx.array_equal(first, second).item()


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], None], dict[str, str], str]] = {
    "an unknown format": (
        lambda t: t.update({"redux_up.comfy_quant": np.frombuffer(b'{"format": "q9"}', np.uint8)}),
        {},
        r"redux_up as a format called 'q9', which is not read",
    ),
    "a known format that is not read": (
        lambda t: t.update({"redux_up.comfy_quant": np.frombuffer(b'{"format": "nvfp4"}', np.uint8)}),
        {},
        r"redux_up as NVFP4",
    ),
    "a format that no JSON names": (
        lambda t: t.update({"redux_up.comfy_quant": np.frombuffer(b"q9", np.uint8)}),
        {},
        "redux_up as a format called 'unreadable'",
    ),
    "a format in the metadata": (
        lambda t: None,
        {"_quantization_metadata": '{"layers": {"redux_up": {"format": "mxfp8"}}}'},
        "redux_up as MXFP8",
    ),
    "metadata that cannot be read": (lambda t: None, {"_quantization_metadata": "{"}, "unreadable"),
    "integers": (
        lambda t: t.update({"redux_up.weight": np.zeros(t["redux_up.weight"].shape, np.int8)}),
        {},
        "redux_up.weight as int8, a format of another program",
    ),
    "4-bit floats": (
        lambda t: t.update({"redux_up.weight": Raw("F4", (2, 2), bytes(2))}),
        {},
        "redux_up.weight as float4",
    ),
    "a scale of blocks": (
        lambda t: t.update({"redux_up.weight_scale": np.ones((2, 2), np.float32)}),
        {},
        "neither one number nor one for each row",
    ),
    "a scale that is no float": (
        lambda t: t.update({"redux_up.weight_scale": Raw("F8_E8M0", (1,), bytes(1))}),
        {},
        "a scale that is not read",
    ),
    "a scale of nothing": (
        lambda t: t.update({"other.scale_weight": np.ones((), np.float32)}),
        {},
        r"has other.scale_weight, but no other.weight",
    ),
    "NaN": (
        lambda t: t.update({"redux_up.bias": np.full(t["redux_up.bias"].shape, np.nan, np.float32)}),
        {},
        "redux_up.bias holds values that are not numbers",
    ),
    "infinity": (
        lambda t: t["redux_down.weight"].__setitem__((0, 0), -np.inf),
        {},
        "redux_down.weight holds values that are not numbers",
    ),
    "NaN in 8 bits": (
        lambda t: t.update(
            {"redux_up.bias": Raw("F8_E4M3", t["redux_up.bias"].shape, b"\x7f" * t["redux_up.bias"].size)}
        ),
        {},
        "redux_up.bias holds values that are not numbers",
    ),
}


@pytest.mark.parametrize("quantize", [None, 4])
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, case: str, quantize: int | None) -> None:
    change, metadata, said = REFUSED[case]
    tensors: dict[str, Any] = dict(published("image_embedder"))
    change(tensors)
    folder = write_folder(tmp_path / "model", "image_embedder", tensors, **metadata)
    with pytest.raises(CheckpointError, match=said):
        load_component(Checkpoint("model", folder=folder), "image_embedder", quantize)


@pytest.mark.parametrize("dtype", FLOAT8)
@pytest.mark.parametrize("form", [plain, older])
def test_a_lora_in_8_bits_is_what_its_numbers_mean(
    tmp_path: Path, small_folder: Path, sizes: Sizes, form: Form, dtype: str
) -> None:
    base = load_component(Checkpoint("small", folder=small_folder), "transformer").module
    tensors = {name: array for name, array in kohya(sizes).tensors.items() if not name.endswith("alpha")}
    written = form(tensors, dtype)
    networks = []
    for name, content in (("eight", written.tensors), ("same", written.meant)):
        path = write(tmp_path / f"{name}.safetensors", content)
        networks.append(adapted(base, [Lora(lora_digest(path), 1.0, False, name, path)])[0])
    eight, same = (named(network.parameters()) for network in networks)
    assert eight.keys() == same.keys()
    for name, array in same.items():
        assert mx.allclose(eight[name], array, rtol=1e-3, atol=1e-6).item(), name


def test_a_lora_in_an_unknown_format_is_refused(tmp_path: Path, sizes: Sizes) -> None:
    tensors: dict[str, Any] = dict(kohya(sizes).tensors)
    up = next(name for name in tensors if name.endswith("lora_up.weight"))
    text = np.frombuffer(b'{"format": "nvfp4"}', np.uint8)
    tensors[up.replace(".weight", ".comfy_quant")] = text
    path = write(tmp_path / "lora.safetensors", tensors)
    with pytest.raises(LoraError, match="NVFP4"):
        examine(path)
