"""Whole pictures from files that were once read as other numbers than they hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_layouts import (
    all_in_one,
    as_float8,
    original_transformer,
    prefixed,
    published,
    write,
    write_folder,
)
from small import WORKFLOWS, shipped, with_each

from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.session import Session
from run_graph.runtime.models.components import REDUX_COMPONENTS, Component

Tensors = dict[str, Any]

ENVIRONMENT = RunEnvironment([WORKFLOWS], Path("unused"))


def picture(
    model: Path | str, component: Component = "transformer", quantize: int | None = None
) -> np.ndarray:
    """The shipped Redux workflow's picture, 32 x 32, with the model where the component belongs."""
    workflow = with_each(shipped("redux"), "FluxSample", width=32, height=32, steps=2)
    loader = "LoadRedux" if component in REDUX_COMPONENTS else "LoadFlux"
    workflow = with_each(workflow, loader, model=str(model), quantize=quantize or "none")
    result = Session(cache=NoCache()).run(workflow, targets=["image"], environment=ENVIRONMENT)
    image: Any = result.outputs("image")
    pixels: np.ndarray = image.image.pixels
    return pixels


def rounded(weights: Tensors, dtype: str = "F8_E4M3") -> tuple[Tensors, Tensors]:
    """All tensors in 8 bits, and what they mean."""
    pairs = {name: as_float8(array, dtype) for name, array in weights.items()}
    return {name: raw for name, (raw, _) in pairs.items()}, {
        name: meant for name, (_, meant) in pairs.items()
    }


def scaled(weights: Tensors, ending: str) -> tuple[Tensors, Tensors]:
    """Matrices in 8 bits with a scale each, and what they mean."""
    stored, meant = dict(weights), dict(weights)
    for name, array in weights.items():
        if name.endswith(".weight") and array.ndim == 2:
            scale = np.float32(np.abs(array).max() / 448)
            stored[name], numbers = as_float8(array / scale, "F8_E4M3")
            stored[name.removesuffix("weight") + ending] = np.array(scale)
            meant[name] = numbers * scale
    return stored, meant


@pytest.mark.parametrize(
    ("component", "quantize"),
    [("transformer", None), ("transformer", 4), ("text_encoder_2", None), ("image_embedder", None)],
)
def test_a_component_in_8_bits(tmp_path: Path, component: Component, quantize: int | None) -> None:
    stored, meant = rounded(published(component))
    eight = write_folder(tmp_path / "eight", component, stored)
    same = write_folder(tmp_path / "same", component, meant)
    expected = picture(same, component, quantize)
    np.testing.assert_array_equal(picture(eight, component, quantize), expected)
    away = 255 * np.abs(expected - picture("tiny", component, quantize)).mean()
    assert away < 30, "near the original; read as integers it is about 60 away"


@pytest.mark.parametrize(
    ("component", "ending"),
    [
        ("transformer", "scale_weight"),
        ("text_encoder_2", "scale_weight"),
        ("text_encoder_2", "weight_scale"),
    ],
)
def test_a_component_in_8_bits_with_scales(tmp_path: Path, component: Component, ending: str) -> None:
    stored, meant = scaled(published(component), ending)
    eight = write_folder(tmp_path / "eight", component, stored)
    same = write_folder(tmp_path / "same", component, meant)
    np.testing.assert_array_equal(picture(eight, component), picture(same, component))


def test_a_whole_model_in_8_bits_in_one_file(tmp_path: Path) -> None:
    stored, meant = rounded(all_in_one(), "F8_E5M2")
    eight = write(tmp_path / "flux1-dev-fp8.safetensors", stored)
    same = write(tmp_path / "same.safetensors", meant)
    np.testing.assert_array_equal(picture(eight), picture(same))


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_original_names_in_a_folder_of_diffusers(tmp_path: Path, prefix: str) -> None:
    tensors = prefixed(original_transformer(), prefix)
    folder = write_folder(tmp_path / "model", "transformer", tensors)
    np.testing.assert_array_equal(picture(folder), picture("tiny"))


def test_the_first_variant_beside_an_index_does_not_count(tmp_path: Path) -> None:
    """Shards and their index are the model; what was saved before, in another precision, is not."""
    tensors = published("transformer")
    folder = write_folder(tmp_path / "model", "transformer", {})
    place = folder / "transformer"
    (stale,) = place.glob("*.safetensors")
    stale.unlink()
    names = sorted(tensors)
    for number in (0, 1):
        part = {name: tensors[name] for name in names[number::2]}
        write(place / f"diffusion_pytorch_model-0000{number + 1}-of-00002.safetensors", part)
    index = {
        name: f"diffusion_pytorch_model-0000{number % 2 + 1}-of-00002.safetensors"
        for number, name in enumerate(names)
    }
    text = str({"weight_map": index}).replace("'", '"')
    (place / "diffusion_pytorch_model.safetensors.index.json").write_text(text)
    zeros = {name: np.zeros_like(array) for name, array in tensors.items()}
    write(place / "diffusion_pytorch_model.fp16.safetensors", zeros)
    np.testing.assert_array_equal(picture(folder), picture("tiny"))
