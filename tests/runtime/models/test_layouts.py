"""The same model in every layout that it is found in gives the same picture through the whole graph."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import mlx.core as mx
import numpy as np
import pytest
from mflux.models.common.tokenizer import TokenizerLoader
from mflux.models.common.weights.saving.model_saver import ModelSaver
from mflux.models.flux.weights.flux_weight_definition import FluxReduxSaveDefinition, FluxWeightDefinition
from small import WORKFLOWS, shipped, with_each

from run_graph.graph import Workflow
from run_graph.graph.faults import WorkflowError
from run_graph.graph.registry import installed_nodes
from run_graph.graph.validation import check
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.session import Session
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import COMPONENTS, FLUX_COMPONENTS, QUANTIZE_BITS, Component
from run_graph.runtime.models.inspection import weight_files
from run_graph.runtime.models.loading import load_component
from training.layout.make import make_checkpoint
from training.layout.spec import TinySpec

ENVIRONMENT = RunEnvironment([WORKFLOWS], Path("unused"))

# mflux saves no config.json: whatever is small here, what cannot be told from the weights is as in FLUX.1.
UNCONFIGURED = TinySpec(
    heads=1,
    head_size=128,
    rope_axes=(16, 56, 56),
    joint_blocks=1,
    single_blocks=1,
    t5_tokens=16,
    clip_width=192,
    clip_heads=12,
    siglip_heads=16,
    siglip_layers=1,
    vae_channels=(32, 64, 96, 96),
    vae_groups=32,
    vae_layers=2,
)

# mflux's names for the components, as attributes of the model that its saver wants.
ATTRIBUTES: dict[Component, str] = {
    "transformer": "transformer",
    "vae": "vae",
    "text_encoder": "clip_text_encoder",
    "text_encoder_2": "t5_text_encoder",
    "image_encoder": "image_encoder",
    "image_embedder": "image_embedder",
}


class Made(NamedTuple):
    """What a run makes: the tokens that FLUX reads, and the picture."""

    tokens: np.ndarray
    pixels: np.ndarray


def redux_workflow(flux: Path, redux: Path, quantize: int | None = None) -> Workflow:
    workflow = with_each(shipped("redux"), "FluxSample", width=32, height=32, steps=2)
    for class_type, folder in (("LoadFlux", flux), ("LoadRedux", redux)):
        workflow = with_each(workflow, class_type, model=str(folder), quantize=quantize or "none")
    return workflow


def make(flux: Path, redux: Path | None = None, quantize: int | None = None) -> Made:
    """Run the example workflow on a model."""
    workflow = redux_workflow(flux, redux or flux, quantize)
    result = Session(cache=NoCache()).run(workflow, targets=["both", "image"], environment=ENVIRONMENT)
    conditioning: Any = result.outputs("both")
    image: Any = result.outputs("image")
    return Made(np.array(conditioning.conditioning.only.tokens), image.image.pixels)


@pytest.fixture(scope="module")
def original(small_folder: Path) -> Made:
    return make(small_folder)


@pytest.fixture(scope="module")
def unconfigured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "unconfigured"
    make_checkpoint(folder, UNCONFIGURED)
    return folder


def assert_same(made: Made, expected: Made) -> None:
    np.testing.assert_array_equal(made.tokens, expected.tokens)
    np.testing.assert_array_equal(made.pixels, expected.pixels)


def difference(made: Made, expected: Made) -> float:
    """The pixels' root mean square difference, relative to the picture's contrast."""
    return float(np.sqrt(np.mean((made.pixels - expected.pixels) ** 2)) / expected.pixels.std())


def rewrite(source: Path, target: Path, write: Callable[[Path, dict[str, mx.array]], None]) -> Path:
    """A copy of the checkpoint, each component's weights written again by `write`."""
    shutil.copytree(source, target)
    for component in COMPONENTS:
        (path,) = weight_files(target / component)
        tensors = dict(mx.load(str(path)))
        mx.eval(list(tensors.values()))
        path.unlink()
        write(path, tensors)
    return target


def write_shards(path: Path, tensors: dict[str, mx.array]) -> None:
    """Three files and an index, named as diffusers and transformers name them."""
    index = {}
    for number in range(3):
        shard = f"{path.stem}-{number + 1:05}-of-00003.safetensors"
        part = dict(list(tensors.items())[number::3])
        mx.save_safetensors(str(path.with_name(shard)), part, {"format": "pt"})
        index |= dict.fromkeys(part, shard)
    path.with_name(f"{path.name}.index.json").write_text(json.dumps({"weight_map": index}))


def save_as_mflux(source: Path, target: Path, bits: int | None, with_redux: bool = True) -> Path:
    """What `mflux-save` leaves, by mflux's own saver: its names, its shards, its tokenizers."""
    checkpoint = Checkpoint("source", folder=source)

    tokenizers = {
        each.name: TokenizerLoader.load(each, str(source)) for each in FluxWeightDefinition.get_tokenizers()
    }
    model = SimpleNamespace(tokenizers=tokenizers)
    for component in COMPONENTS if with_redux else FLUX_COMPONENTS:
        setattr(model, ATTRIBUTES[component], load_component(checkpoint, component, bits).module)
    weights = FluxReduxSaveDefinition if with_redux else FluxWeightDefinition
    ModelSaver.save_model(model, bits, str(target), weights)
    return target


def test_shards_make_the_same_picture(small_folder: Path, tmp_path: Path, original: Made) -> None:
    folder = rewrite(small_folder, tmp_path / "sharded", write_shards)
    assert len(weight_files(folder / "transformer")) == 3
    assert_same(make(folder), original)


@pytest.mark.parametrize(("dtype", "tolerance"), [(mx.bfloat16, 0.1), (mx.float16, 0.01)])
def test_half_precision_files_make_nearly_the_same_picture(
    small_folder: Path, tmp_path: Path, original: Made, dtype: mx.Dtype, tolerance: float
) -> None:
    def write(path: Path, tensors: dict[str, mx.array]) -> None:
        mx.save_safetensors(str(path), {name: array.astype(dtype) for name, array in tensors.items()})

    made = make(rewrite(small_folder, tmp_path / "half", write))
    assert 0 < difference(made, original) < tolerance


@pytest.mark.parametrize("bits", [None, *QUANTIZE_BITS])
def test_what_mflux_saved_with_its_redux_encoders_serves_both_loaders(
    unconfigured: Path, tmp_path: Path, bits: int | None
) -> None:
    saved = save_as_mflux(unconfigured, tmp_path / "saved", bits)
    assert not list(saved.rglob("config.json"))
    assert_same(make(saved), make(unconfigured, quantize=bits))


def test_what_mflux_saved_without_redux_goes_with_a_published_redux(
    unconfigured: Path, tmp_path: Path
) -> None:
    saved = save_as_mflux(unconfigured, tmp_path / "saved", None, with_redux=False)
    assert_same(make(saved, redux=unconfigured), make(unconfigured))
    with pytest.raises(WorkflowError) as caught:
        make(saved)
    for words in ("has no folder 'image_encoder'", "has no folder 'image_embedder'"):
        assert words in str(caught.value)


def test_a_second_save_into_the_same_folder_hides_the_first(
    unconfigured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def split(weights: dict[str, mx.array]) -> list[dict[str, mx.array]]:
        names = list(weights)
        return [{name: weights[name] for name in names[start::shards]} for start in range(shards)]

    monkeypatch.setattr(ModelSaver, "_split_weights", split)
    shards = 3
    save_as_mflux(unconfigured, tmp_path / "saved", 8)
    shards = 2
    saved = save_as_mflux(unconfigured, tmp_path / "saved", 4)
    assert (saved / "transformer" / "2.safetensors").exists()
    assert len(weight_files(saved / "transformer")) == 2
    assert_same(make(saved), make(unconfigured, quantize=4))


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_missing_shard_is_a_fault_of_the_loader_before_anything_runs(
    small_folder: Path, tmp_path: Path, component: Component
) -> None:
    folder = rewrite(small_folder, tmp_path / "sharded", write_shards)
    missing = weight_files(folder / component)[1]
    missing.unlink()
    faults = check(redux_workflow(folder, folder), installed_nodes(), None, ENVIRONMENT).faults
    (fault,) = faults
    assert (fault.node_id, fault.input) == ("flux" if component in FLUX_COMPONENTS else "redux", "model")
    assert missing.name in fault.message


@pytest.mark.parametrize("bits", [None, 4])
def test_what_mflux_saved_before_0_7_loads(unconfigured: Path, tmp_path: Path, bits: int | None) -> None:
    """mflux 0.2 to 0.6 wrote no index and only the quantisation into the files: `None` or the bits.

    mflux 0.2.0: `flux/flux.py`, `save_model`. The names were today's.
    """
    saved = save_as_mflux(unconfigured, tmp_path / "saved", bits)
    for index in saved.rglob("*.index.json"):
        index.unlink()
    for path in saved.rglob("*.safetensors"):
        tensors: Any = mx.load(str(path))
        mx.eval(list(tensors.values()))
        mx.save_safetensors(str(path), tensors, {"quantization_level": str(bits)})
    assert not check(redux_workflow(saved, saved), installed_nodes(), None, ENVIRONMENT).faults
    assert_same(make(saved), make(unconfigured, quantize=bits))


def test_what_mflux_0_16_to_0_21_saved_has_no_last_bias(unconfigured: Path, tmp_path: Path) -> None:
    saved = save_as_mflux(unconfigured, tmp_path / "saved", None)
    (path,) = (saved / "transformer").glob("*.safetensors")
    tensors, metadata = cast(Any, mx.load(str(path), return_metadata=True))
    mx.eval(list(tensors.values()))
    del tensors["norm_out.linear.bias"]
    mx.save_safetensors(str(path), tensors, metadata)
    loaded = load_component(Checkpoint("saved", folder=saved), "transformer").module
    assert not mx.any(loaded.norm_out.linear.bias).item()
