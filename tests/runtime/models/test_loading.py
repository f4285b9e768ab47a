"""Reading components: each alone, whole or refused, quantised or not, from every layout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mflux.models.common.weights.saving.model_saver import ModelSaver
from mflux.models.flux.weights.flux_weight_definition import FluxReduxWeightDefinition, FluxWeightDefinition
from safetensors.numpy import load_file, save_file

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.assembly import named
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import COMPONENTS, QUANTIZE_BITS, Component
from run_graph.runtime.models.loading import load_component
from training.layout.make import make_checkpoint
from training.layout.spec import TinySpec

Copy = Callable[..., Checkpoint]
Tensors = dict[str, np.ndarray]

# One tensor of each component: its published name and its name in mflux's module.
SAMPLES: dict[Component, tuple[str, str]] = {
    "transformer": (
        "transformer_blocks.0.ff.net.0.proj.weight",
        "transformer_blocks.0.ff.linear1.weight",
    ),
    "vae": ("decoder.mid_block.attentions.0.to_q.weight",) * 2,
    "text_encoder": ("text_model.encoder.layers.1.mlp.fc1.weight",) * 2,
    "text_encoder_2": (
        "encoder.block.1.layer.0.SelfAttention.q.weight",
        "t5_blocks.1.attention.SelfAttention.q.weight",
    ),
    "image_encoder": ("vision_model.encoder.layers.1.mlp.fc2.weight", "encoder.layers.1.mlp.fc2.weight"),
    "image_embedder": ("redux_up.weight",) * 2,
}


def weights_file(checkpoint: Checkpoint, component: Component) -> Path:
    assert checkpoint.folder is not None
    return next((checkpoint.folder / component).glob("*.safetensors"))


def rewrite(checkpoint: Checkpoint, component: Component, change: Callable[[Tensors], None]) -> None:
    path = weights_file(checkpoint, component)
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def parameters(module: Any) -> Tensors:
    return {name: np.array(array) for name, array in named(module.parameters()).items()}


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_component_loads_where_no_other_exists(copy_of: Copy, component: Component) -> None:
    checkpoint = copy_of(component)
    loaded = load_component(checkpoint, component)
    published, own = SAMPLES[component]
    stored = load_file(weights_file(checkpoint, component))
    np.testing.assert_array_equal(parameters(loaded.module)[own], stored[published])
    assert loaded.bits is None
    assert loaded.config["_class_name" if "_class_name" in loaded.config else "model_type"]
    assert loaded.nbytes == sum(array.nbytes for array in parameters(loaded.module).values())


@pytest.mark.parametrize("component", COMPONENTS)
def test_no_parameter_is_left_at_its_random_start(copy_of: Copy, component: Component) -> None:
    checkpoint = copy_of(component)
    stored = {array.tobytes() for array in load_file(weights_file(checkpoint, component)).values()}
    for name, array in parameters(load_component(checkpoint, component).module).items():
        convolution = array.transpose(0, 3, 1, 2) if array.ndim == 4 else array
        assert np.ascontiguousarray(convolution).tobytes() in stored, name


def test_block_counts_follow_the_checkpoint(small_folder: Path) -> None:
    checkpoint = Checkpoint("small", folder=small_folder)
    transformer = load_component(checkpoint, "transformer").module
    assert (len(transformer.transformer_blocks), len(transformer.single_transformer_blocks)) == (1, 2)
    assert len(load_component(checkpoint, "text_encoder_2").module.t5_blocks) == 2
    assert len(load_component(checkpoint, "text_encoder").module.text_model.encoder.layers) == 2
    assert len(load_component(checkpoint, "image_encoder").module.encoder.layers) == 2
    vae = load_component(checkpoint, "vae").module
    assert [len(block.resnets) for block in vae.decoder.up_blocks] == [2, 2, 2, 2]


@pytest.mark.parametrize(
    "spec",
    [
        TinySpec(heads=1, joint_blocks=1, single_blocks=1, guidance=False),
        TinySpec(heads=2, head_size=128, rope_axes=(16, 56, 56), joint_blocks=3, single_blocks=1),
        TinySpec(t5_width=192, t5_heads=2, t5_layers=1, joint_blocks=1, single_blocks=1),
        TinySpec(siglip_image=512, siglip_patch=16, siglip_width=96, vae_layers=2),
    ],
)
def test_any_width_loads(tmp_path: Path, spec: TinySpec) -> None:
    make_checkpoint(tmp_path / "any", spec)
    checkpoint = Checkpoint("any", folder=tmp_path / "any")
    for component in COMPONENTS:
        assert load_component(checkpoint, component, 4).nbytes > 0
    has_guidance = "guidance_embedder" in load_component(checkpoint, "transformer").module.time_text_embed
    assert has_guidance is spec.guidance


@pytest.mark.parametrize("bits", QUANTIZE_BITS)
@pytest.mark.parametrize("component", ["transformer", "text_encoder_2", "image_encoder"])
def test_quantised_layers_compute_nearly_the_same(
    small_folder: Path, component: Component, bits: int
) -> None:
    checkpoint = Checkpoint("small", folder=small_folder)
    exact, packed = load_component(checkpoint, component), load_component(checkpoint, component, bits)
    path = SAMPLES[component][1].removesuffix(".weight")
    layers = [dict(loaded.module.named_modules())[path] for loaded in (exact, packed)]
    inputs = mx.random.normal((32, layers[0].weight.shape[1]), key=mx.random.key(0))
    expected, found = (layer(inputs) for layer in layers)
    error = (mx.linalg.norm(found - expected) / mx.linalg.norm(expected)).item()
    assert packed.bits == bits
    assert 0 < error < 2.4 / 2**bits, (
        "uniform steps over some five deviations: 5 / 2**bits / sqrt(12), and slack"
    )
    assert packed.nbytes < exact.nbytes


def test_fewer_bits_take_less_memory(small_folder: Path) -> None:
    checkpoint = Checkpoint("small", folder=small_folder)
    sizes = [load_component(checkpoint, "transformer", bits).nbytes for bits in (3, 4, 5, 6, 8)]
    assert sizes == sorted(set(sizes))


def test_layers_that_do_not_divide_into_groups_stay_exact(small_folder: Path) -> None:
    checkpoint = Checkpoint("small", folder=small_folder)
    module = load_component(checkpoint, "text_encoder_2", 4).module
    bias = module.t5_blocks[0].attention.SelfAttention.relative_attention_bias
    assert "scales" not in bias
    assert "scales" in module.t5_blocks[0].attention.SelfAttention.q


def test_shards_with_an_index_load_like_one_file(copy_of: Copy) -> None:
    checkpoint = copy_of("text_encoder_2")
    whole = parameters(load_component(checkpoint, "text_encoder_2").module)
    path = weights_file(checkpoint, "text_encoder_2")
    tensors = load_file(path)
    index = {}
    for number, names in enumerate((sorted(tensors)[::2], sorted(tensors)[1::2]), start=1):
        shard = f"model-{number:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in names}, path.parent / shard)
        index |= dict.fromkeys(names, shard)
    path.unlink()
    (path.parent / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    sharded = parameters(load_component(checkpoint, "text_encoder_2").module)
    assert sharded.keys() == whole.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(sharded[name], array)

    (path.parent / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="lacks model-00002-of-00002"):
        load_component(checkpoint, "text_encoder_2")


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_file_cut_short_is_refused(copy_of: Copy, component: Component) -> None:
    checkpoint = copy_of(component)
    path = weights_file(checkpoint, component)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="is cut short") as caught:
        load_component(checkpoint, component)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_missing_tensor_is_named(copy_of: Copy, component: Component) -> None:
    checkpoint = copy_of(component)
    published, own = SAMPLES[component]
    rewrite(checkpoint, component, lambda tensors: tensors.__delitem__(published))
    with pytest.raises(CheckpointError) as caught:
        load_component(checkpoint, component)
    assert published in str(caught.value) or own in str(caught.value)
    assert str(checkpoint.folder) in str(caught.value)


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_tensor_of_another_shape_is_named(copy_of: Copy, component: Component) -> None:
    checkpoint = copy_of(component)
    published, own = SAMPLES[component]

    def shrink(tensors: Tensors) -> None:
        tensors[published] = np.ascontiguousarray(tensors[published][:-8])

    rewrite(checkpoint, component, shrink)
    with pytest.raises(CheckpointError, match="the other weights require") as caught:
        load_component(checkpoint, component)
    assert own in str(caught.value)


def test_a_tensor_with_other_dimensions_is_named(copy_of: Copy) -> None:
    checkpoint = copy_of("image_embedder")
    rewrite(
        checkpoint,
        "image_embedder",
        lambda tensors: tensors.update({"redux_up.bias": tensors["redux_up.bias"][None]}),
    )
    with pytest.raises(CheckpointError, match=r"redux_up.bias has shape \(1, 384\)"):
        load_component(checkpoint, "image_embedder")


def test_fewer_blocks_than_the_config_says_are_refused(copy_of: Copy) -> None:
    checkpoint = copy_of("transformer")

    def drop_last_block(tensors: Tensors) -> None:
        for name in [name for name in tensors if name.startswith("single_transformer_blocks.1.")]:
            del tensors[name]

    rewrite(checkpoint, "transformer", drop_last_block)
    with pytest.raises(CheckpointError, match=r"1 blocks where its config\.json says num_single_layers = 2"):
        load_component(checkpoint, "transformer")


def test_weights_of_another_model_are_refused(copy_of: Copy) -> None:
    checkpoint = copy_of("image_embedder")
    rewrite(
        checkpoint,
        "image_embedder",
        lambda tensors: tensors.update({"extra.weight": np.zeros((2, 2), np.float32)}),
    )
    with pytest.raises(CheckpointError, match=r"weights that FLUX.1 does not have: extra\.weight"):
        load_component(checkpoint, "image_embedder")


@pytest.mark.parametrize("component", COMPONENTS)
def test_unknown_weights_are_refused_in_every_component(copy_of: Copy, component: Component) -> None:
    checkpoint = copy_of(component)
    extra = f"{SAMPLES[component][0].removesuffix('weight')}further_weight"
    rewrite(checkpoint, component, lambda tensors: tensors.update({extra: np.ones(1, np.float32)}))
    with pytest.raises(CheckpointError, match=r"weights that FLUX\.1 does not have"):
        load_component(checkpoint, component)


@pytest.mark.parametrize(
    ("component", "names"),
    [
        ("text_encoder", ["text_projection.weight", "logit_scale", "text_model.embeddings.position_ids"]),
        ("text_encoder_2", ["encoder.embed_tokens.weight", "lm_head.weight", "decoder.layer_norm.weight"]),
        ("image_encoder", ["text_model.head.weight", "logit_bias", "vision_model.embeddings.position_ids"]),
    ],
)
def test_the_other_half_of_an_encoder_is_not_read(
    copy_of: Copy, component: Component, names: list[str]
) -> None:
    checkpoint = copy_of(component)
    plain = parameters(load_component(checkpoint, component).module)
    unused = {name: np.ones(3, np.int64) for name in names}
    rewrite(checkpoint, component, lambda tensors: tensors.update(unused))
    assert parameters(load_component(checkpoint, component).module).keys() == plain.keys()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32])
@pytest.mark.parametrize("component", COMPONENTS)
def test_weights_in_another_program_s_format_are_refused(
    copy_of: Copy, component: Component, dtype: type
) -> None:
    checkpoint = copy_of(component)
    name, _ = SAMPLES[component]
    rewrite(checkpoint, component, lambda tensors: tensors.update({name: tensors[name].astype(dtype)}))
    with pytest.raises(CheckpointError, match="a format of another program") as caught:
        load_component(checkpoint, component)
    assert name in str(caught.value)


def test_a_stale_file_beside_the_model_is_not_read(copy_of: Copy) -> None:
    checkpoint = copy_of("transformer")
    expected = parameters(load_component(checkpoint, "transformer").module)
    path = weights_file(checkpoint, "transformer")
    stale = {name: np.zeros_like(array) for name, array in load_file(path).items()}
    save_file(stale, path.with_name("diffusion_pytorch_model.fp16.safetensors"))
    found = parameters(load_component(checkpoint, "transformer").module)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_any_index_decides_which_files_count(copy_of: Copy) -> None:
    checkpoint = copy_of("vae")
    path = weights_file(checkpoint, "vae")
    expected = parameters(load_component(checkpoint, "vae").module)
    tensors = load_file(path)
    save_file({name: np.zeros_like(array) for name, array in tensors.items()}, path)
    save_file(tensors, path.with_name("shard.safetensors"))
    index = json.dumps({"weight_map": dict.fromkeys(tensors, "shard.safetensors")})
    path.with_name(f"{path.name}.index.json").write_text(index)
    found = parameters(load_component(checkpoint, "vae").module)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_two_files_with_the_same_tensor_are_refused(copy_of: Copy) -> None:
    checkpoint = copy_of("image_embedder")
    path = weights_file(checkpoint, "image_embedder")
    content = path.read_bytes()
    path.unlink()
    for name in ("one", "two"):
        path.with_name(f"{name}.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"in two\.safetensors and in another file"):
        load_component(checkpoint, "image_embedder")


class Holder:
    """What mflux's saver wants: components as attributes."""


SAVED: dict[Component, tuple[str, type]] = {
    "transformer": ("transformer", FluxWeightDefinition),
    "vae": ("vae", FluxWeightDefinition),
    "text_encoder": ("clip_text_encoder", FluxWeightDefinition),
    "text_encoder_2": ("t5_text_encoder", FluxWeightDefinition),
    "image_encoder": ("image_encoder", FluxReduxWeightDefinition),
    "image_embedder": ("image_embedder", FluxReduxWeightDefinition),
}


@pytest.mark.parametrize("bits", [None, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("component", COMPONENTS)
def test_what_mflux_saved_loads_as_it_was(
    small_folder: Path, tmp_path: Path, component: Component, bits: int | None
) -> None:
    loaded = load_component(Checkpoint("small", folder=small_folder), component, bits)
    attribute, weight_definition = SAVED[component]
    holder = Holder()
    setattr(holder, attribute, loaded.module)
    ModelSaver.save_model(holder, bits, str(tmp_path / "saved"), weight_definition)
    again = load_component(Checkpoint("saved", folder=tmp_path / "saved"), component)
    before, after = parameters(loaded.module), parameters(again.module)
    assert again.bits == bits
    assert again.config == ({"image_size": 384} if component == "image_encoder" else {})
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)


def test_a_stored_precision_wins_over_a_requested_one(
    small_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    holder = Holder()
    holder.image_embedder = load_component(  # type: ignore[attr-defined]
        Checkpoint("small", folder=small_folder), "image_embedder", 4
    ).module
    ModelSaver.save_model(holder, 4, str(tmp_path), FluxReduxWeightDefinition)
    assert load_component(Checkpoint("saved", folder=tmp_path), "image_embedder", 8).bits == 4
    assert "quantize=8 is ignored" in caplog.text


def test_bfloat16_files_are_read(copy_of: Copy) -> None:
    checkpoint = copy_of("image_embedder")
    path = weights_file(checkpoint, "image_embedder")
    tensors = {name: mx.array(array) for name, array in load_file(path).items()}
    mx.save_safetensors(str(path), {name: array.astype(mx.bfloat16) for name, array in tensors.items()})
    loaded = parameters(load_component(checkpoint, "image_embedder").module)
    for name, array in tensors.items():
        np.testing.assert_allclose(loaded[name], np.array(array), rtol=2**-8, atol=1e-9)
