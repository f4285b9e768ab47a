"""The layers of each component are those of mflux's modules at FLUX.1's sizes, published names included."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mflux.models.common.weights.loading.weight_loader import WeightLoader
from mflux.models.flux.weights.flux_weight_definition import FluxReduxSaveDefinition
from mflux_oracle import mflux_module

from run_graph.runtime.models.architecture import count, layers_of, name_in_memory
from run_graph.runtime.models.assembly import assemble, leaves, named
from run_graph.runtime.models.components import COMPONENTS, Component
from run_graph.runtime.models.layouts.in_memory import in_memory
from run_graph.runtime.models.layouts.lazy import LazyTensor
from training.layout import shapes
from training.layout.spec import TinySpec

SPEC = TinySpec(t5_layers=24, vae_layers=2)  # mflux fixes the number of T5's blocks and of residual blocks


def published(component: Component) -> dict[str, mx.array]:
    return {name: mx.zeros(shape) for name, shape in shapes.SHAPES[component](SPEC)}


def in_memory_of(component: Component) -> dict[str, mx.array]:
    """The published tensors with the names and shapes that they have in memory."""

    def lazy(array: mx.array) -> LazyTensor:
        return LazyTensor(array.shape, "F32", lambda: array)

    stored = {name: lazy(array) for name, array in published(component).items()}
    return {name: tensor.take() for name, tensor in in_memory(stored, component, "published", "").items()}


def as_mflux_reads(component: Component, tensors: dict[str, mx.array], patch: Any) -> dict[str, mx.array]:
    """The tensors with the names and layouts that mflux's own loader gives them."""
    definition = next(
        each for each in FluxReduxSaveDefinition.get_components() if each.hf_subdir == component
    )
    patch.setattr(WeightLoader, "_load_safetensors", staticmethod(lambda *_: dict(tensors)))
    patch.setattr(WeightLoader, "_try_load_mflux_format", staticmethod(lambda _: (None, None, None)))
    loaded = WeightLoader.load_single_local(replace(definition, precision=mx.float32), Path("flux"))
    tree = loaded.components[definition.name]
    return named(tree.get("vision_model", tree))


@pytest.mark.parametrize("component", COMPONENTS)
def test_published_tensors_are_renamed_as_by_mflux(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = published(component)
    ours = in_memory_of(component)
    theirs = as_mflux_reads(component, tensors, monkeypatch)
    expected = {name: array.shape for name, array in theirs.items() if not name.startswith("head.")}
    assert {name: array.shape for name, array in ours.items()} == expected


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_tree_of_layers_is_that_of_mflux_s_module(component: Component) -> None:
    tensors = in_memory_of(component)
    ours = assemble(layers_of(component, tensors), tensors, tensors.__getitem__, None, lambda _, layer: layer)
    theirs = mflux_module(component, ours)
    assert named(theirs.parameters()).keys() == named(ours.parameters()).keys()
    mine = dict(leaves(ours))
    for path, layer in leaves(theirs):
        if hasattr(layer, "to_quantized"):
            assert isinstance(layer, type(mine[path])), path
        if hasattr(layer, "stride") and path != "embeddings.patch_embedding":  # applied with its own stride
            ahead = "downsamplers" in path  # mflux pads before, as our forward pass does
            assert tuple(mine[path].stride) == tuple(layer.stride), path
            assert ahead or tuple(mine[path].padding) == tuple(layer.padding), path


def test_the_other_half_of_an_encoder_is_left_out() -> None:
    assert name_in_memory("text_encoder", "text_projection.weight") is None
    assert name_in_memory("text_encoder", "text_model.embeddings.position_ids") is None
    assert name_in_memory("text_encoder_2", "decoder.block.0.layer.0.SelfAttention.q.weight") is None
    assert name_in_memory("image_encoder", "text_model.encoder.layers.0.mlp.fc1.weight") is None
    assert name_in_memory("image_encoder", "vision_model.head.probe") is None
    assert name_in_memory("transformer", "anything.weight") == "anything.weight"


@pytest.mark.parametrize("component", COMPONENTS)
def test_names_in_memory_stay_as_they_are(component: Component) -> None:
    for name in in_memory_of(component):
        assert name_in_memory(component, name) == name


def test_blocks_are_counted_by_their_highest_number() -> None:
    assert count(["a.0.b.w", "a.3.b.w", "other.7.w", "a.x.w"], "a") == 4
    assert count([], "a") == 0
