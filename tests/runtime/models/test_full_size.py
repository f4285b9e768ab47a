"""FLUX.1's own sizes fit, checked without a single weight."""

import math

import mlx.core as mx
import pytest

from run_graph.runtime.models.architecture import layers_of
from run_graph.runtime.models.components import COMPONENTS, Component
from run_graph.runtime.models.fitting import check_names, check_shapes
from run_graph.runtime.models.layouts.in_memory import in_memory
from run_graph.runtime.models.layouts.lazy import LazyTensor
from training.layout import shapes
from training.layout.spec import TinySpec

FLUX_DEV = TinySpec(
    heads=24,
    head_size=128,
    rope_axes=(16, 56, 56),
    joint_blocks=19,
    single_blocks=38,
    t5_width=4096,
    t5_heads=64,
    t5_hidden=10240,
    t5_layers=24,
    t5_tokens=512,
    clip_width=768,
    clip_heads=12,
    clip_hidden=3072,
    clip_layers=12,
    siglip_width=1152,
    siglip_heads=16,
    siglip_hidden=4304,
    siglip_layers=27,
    vae_channels=(128, 256, 512, 512),
    vae_groups=32,
    vae_layers=2,
)

# Of the published models: FLUX.1-dev, CLIP-L, T5 v1.1 XXL's encoder, SigLIP so400m, FLUX.1-Redux-dev.
PUBLISHED_PARAMETERS: dict[Component, int] = {
    "transformer": 11_901_408_320,
    "vae": 83_819_683,
    "text_encoder": 123_060_480,
    "text_encoder_2": 4_762_310_656,
    "image_encoder": 428_225_600,
    "image_embedder": 64_503_808,
}


@pytest.fixture(autouse=True)
def published_vocabularies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "t5_pieces", lambda: range(32128))
    monkeypatch.setattr(shapes, "clip_vocabulary", lambda: range(49408))


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_small_architecture_at_full_size_is_the_published_one(component: Component) -> None:
    count = sum(math.prod(shape) for _, shape in shapes.SHAPES[component](FLUX_DEV))
    assert count == PUBLISHED_PARAMETERS[component]


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_published_sizes_are_accepted(component: Component) -> None:
    published = dict(shapes.SHAPES[component](FLUX_DEV))
    stored = {name: LazyTensor(shape, "BF16", never) for name, shape in published.items()}
    tensors = in_memory(stored, component, "published", "flux")
    layers = layers_of(component, tensors)
    used = {name: shape for name, shape in published.items() if not name.startswith("vision_model.head.")}
    check_names(layers, tensors, "flux")
    check_shapes(layers, tensors, "flux")
    held = sum(math.prod(tensor.shape) for tensor in tensors.values())
    count = sum(map(math.prod, used.values()))
    shared_bias = 23 * 32 * 64 if component == "text_encoder_2" else 0  # each block has the first's
    assert held == count + shared_bias


def never() -> mx.array:
    raise AssertionError("nothing is read")
