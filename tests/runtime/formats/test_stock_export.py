"""Workflows of our own nodes as workflows of ComfyUI's: the same picture, or what has no equivalent."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from small import SHIPPED, WORKFLOWS, shipped

from run_graph.graph import Graph, Link, Registry, Workflow, WorkflowError
from run_graph.graph.formats.editor.conversion import convert
from run_graph.graph.formats.editor.schema import RegistrySchemas
from run_graph.graph.validation import check
from run_graph.nodes import NODES, PatchDownsample
from run_graph.runtime.cli import main as cli
from run_graph.runtime.formats.stock.export import stock_workflow
from run_graph.runtime.formats.stock.model_files import FLUX_FILES, REDUX_FILES, is_guided_file
from run_graph.runtime.formats.stock.redux_rules import SIDE
from run_graph.runtime.images.choices import KERNELS
from run_graph.runtime.models import known_files, names
from run_graph.runtime.models.checkpoint_facts import shifts_sigmas
from run_graph.runtime.models.resolution import resolve_flux, resolve_redux
from run_graph.runtime.networks.token_counts import MODES, grid_for_factor
from run_graph.runtime.sampling import batch
from run_graph.runtime.sampling.latents import pack
from run_graph.runtime.sampling.torch_noise import batch_noise

REGISTRY = Registry(NODES)
OURS = {node.class_type for node in NODES if not node.stock} - {"LoadImage", "SaveImage"}


def rewritten(workflow: Workflow) -> Workflow:
    return stock_workflow(workflow, REGISTRY).workflow


def changed(name: str, **inputs: Any) -> Workflow:
    """An example with inputs changed; ``smaller__mode=...`` is the input ``mode`` of the node ``smaller``."""
    workflow = shipped(name)
    for key, value in inputs.items():
        workflow = workflow.with_input(*key.split("__"), value)
    return workflow


def only(workflow: Workflow, class_type: str) -> Mapping[str, Any]:
    [spec] = [spec for spec in workflow.nodes.values() if spec.class_type == class_type]
    return spec.inputs


def lacking(workflow: Workflow) -> list[tuple[str | None, str | None]]:
    """The nodes and inputs that have no equivalent."""
    with pytest.raises(WorkflowError) as raised:
        stock_workflow(workflow, REGISTRY)
    assert {fault.code for fault in raised.value.faults} == {"no_equivalent"}
    return [(fault.node_id, fault.input) for fault in raised.value.faults]


@pytest.mark.parametrize("name", SHIPPED)
def test_examples_become_valid_workflows_of_comfyui_s_nodes_alone(name: str) -> None:
    workflow = rewritten(shipped(name))
    assert not OURS & {spec.class_type for spec in workflow.nodes.values()}
    assert check(workflow, REGISTRY).faults == ()
    kept = {"sample", "image", "save"} if name != "redux_modes" else set()
    assert kept <= workflow.nodes.keys()


# -- The same picture, where the noise is the same ----------------------------------------------------------


def torch_noise(seed: int, width: int, height: int) -> mx.array:
    """ComfyUI's noise in the form of ours."""
    drawn = batch_noise(seed, (1, 16, height // 8, width // 8))
    return pack(mx.array(np.ascontiguousarray(drawn.transpose(0, 2, 3, 1))))


def picture(workflow: Workflow) -> np.ndarray:
    graph = Graph.from_workflow(workflow)
    image = graph.run(["image"], input_directories=[WORKFLOWS], cache=False).outputs("image").image
    return np.asarray(image.pixels)


PICTURES = {
    "a reduced grid as the simple node has it": changed("redux"),
    "another kernel and a strength": changed("redux", smaller__mode="low", both__strength=0.7),
    "the whole grid with a strength": changed("redux", smaller__mode="highest", both__strength=0.6),
    "a factor": changed("redux", smaller__factor=2.2, smaller__interpolation="bicubic"),
    "a squashed picture": changed("redux", smaller__mode="highest", vision__fit="stretch"),
    "another sampler and schedule": changed("redux", sample__sampler="dpmpp_2m", sample__schedule="beta"),
    "two references": changed("two_references"),
    "no guidance": changed("text_to_image", flux__model="tiny-schnell", sample__steps=4),
    "parentheses": changed("text_to_image", prompt__prompt="a (red) car (blue:1.5)"),
}


@pytest.mark.parametrize("what", PICTURES)
def test_comfyui_s_nodes_make_the_same_picture_of_the_same_noise(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batch, "initial_noise", torch_noise)
    monkeypatch.setattr("run_graph.runtime.models.checkpoint_facts._LONG_PROMPT", 256)
    workflow = PICTURES[what]
    difference = np.abs(picture(workflow) - picture(rewritten(workflow)))
    assert difference.mean() < 2e-4
    assert difference.max() < 0.01


def test_a_picture_that_is_changed_is_seen_as_different(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits above are narrow enough to tell modes apart."""
    monkeypatch.chdir(tmp_path)
    one, other = picture(changed("redux")), picture(changed("redux", smaller__mode="high"))
    assert np.abs(one - other).mean() > 0.005


# -- What becomes what --------------------------------------------------------------------------------------


def test_the_node_for_a_picture_is_the_simplest_that_does_the_same() -> None:
    whole = rewritten(changed("redux", smaller__mode="highest", both__strength=0.5))
    assert only(whole, "StyleModelApply")["strength"] == 0.5
    assert only(rewritten(shipped("redux")), "StyleModelApplySimple")["image_strength"] == "medium"
    area = only(rewritten(changed("redux", smaller__mode="low", both__strength=0.25)), "ReduxAdvanced")
    assert (area["downsampling_factor"], area["downsampling_function"], area["weight"]) == (4.5, "area", 0.5)


@pytest.mark.parametrize("side", range(3, SIDE + 1))
def test_a_side_as_a_factor_is_that_side(side: int) -> None:
    assert grid_for_factor(SIDE / side, SIDE) == side


def test_every_mode_and_kernel_has_an_equivalent() -> None:
    for mode in MODES:
        for kernel in KERNELS:
            rewritten(changed("redux", smaller__mode=mode, smaller__interpolation=kernel))
    assert PatchDownsample.model_fields.keys() >= {"mode", "interpolation", "factor"}


def test_only_dev_is_shifted_and_guided() -> None:
    dev = rewritten(changed("text_to_image", flux__model="dev", sample__guidance=2.5))
    assert only(dev, "FluxGuidance")["guidance"] == 2.5
    shift = only(dev, "ModelSamplingFlux")
    assert (shift["max_shift"], shift["base_shift"], shift["width"]) == (1.15, 0.5, 96)
    schnell = {
        spec.class_type for spec in rewritten(changed("text_to_image", flux__model="schnell")).nodes.values()
    }
    assert not schnell & {"FluxGuidance", "ModelSamplingFlux"}


def test_a_linked_value_stays_linked() -> None:
    seed = {"class_type": "PrimitiveInt", "inputs": {"value": 7}}
    nodes = changed("text_to_image", sample__seed=["seed", 0]).to_json() | {"seed": seed}
    workflow = rewritten(Workflow.from_json(nodes))
    assert only(workflow, "RandomNoise")["noise_seed"] == Link("seed", 0)
    assert only(workflow, "PrimitiveInt") == {"value": 7}


def test_a_lora_becomes_the_loader_that_it_needs() -> None:
    lora = {"flux": ["flux", 0], "lora": "styles/ink.safetensors", "scale": 0.5}
    nodes = changed("text_to_image", sample__flux=["lora", 0]).to_json()
    nodes["lora"] = {"class_type": "LoadLora", "inputs": lora}
    found = only(rewritten(Workflow.from_json(nodes)), "LoraLoaderModelOnly")
    assert found == {"model": Link("flux", 0), "lora_name": "ink.safetensors", "strength_model": 0.5}
    nodes["lora"]["inputs"] = {**lora, "text_encoders": ["flux", 1], "text_scale": 0.25}
    nodes["prompt"]["inputs"]["text_encoders"] = ["lora", 1]
    workflow = rewritten(Workflow.from_json(nodes))
    assert only(workflow, "LoraLoader")["strength_clip"] == 0.25
    assert only(workflow, "CLIPTextEncode")["clip"] == Link("lora", 1)


@pytest.mark.parametrize("name", FLUX_FILES)
def test_the_files_of_a_model_are_those_that_our_loaders_know(name: str) -> None:
    files = FLUX_FILES[name]
    resolve = names.resolve
    assert resolve(known_files.TRANSFORMER, files.transformer) == resolve_flux(name)
    assert names.resolve_text_encoders(files.clip, files.t5)
    assert resolve(known_files.VAE, files.vae)
    assert is_guided_file(files.transformer) is files.is_guided
    if name.startswith("tiny"):
        assert shifts_sigmas(resolve_flux(name)) is files.is_guided


@pytest.mark.parametrize("name", REDUX_FILES)
def test_the_files_of_a_redux_model_are_those_that_our_loaders_know(name: str) -> None:
    vision, style_model = REDUX_FILES[name]
    assert names.resolve(known_files.VISION, vision) == resolve_redux(name)
    assert names.resolve(known_files.STYLE_MODEL, style_model) == resolve_redux(name)


def test_a_repository_is_the_model_that_it_is_known_as() -> None:
    workflow = rewritten(changed("text_to_image", flux__model="black-forest-labs/FLUX.1-dev"))
    assert only(workflow, "UNETLoader")["unet_name"] == "flux1-dev.safetensors"


# -- What has no equivalent ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ({"flux__model": "some/model"}, ("flux", "model")),
        ({"redux__model": "some/model"}, ("redux", "model")),
        ({"vision__fit": "pad"}, ("vision", "fit")),
        ({"vision__fit": "stretch", "smaller__mode": "low"}, ("both", "tokens")),
        ({"vision__resample": "lanczos"}, ("vision", "resample")),
        (
            {"vision__fit": "stretch", "vision__resample": "lanczos", "smaller__mode": "highest"},
            ("vision", "resample"),
        ),
        ({"sample__step_reuse": 0.25}, ("sample", "step_reuse")),
        ({"image__tile_size": 512}, ("image", "tile_size")),
        ({"photo__background": "white"}, ("photo", "background")),
        ({"photo__frames": "first"}, ("photo", "frames")),
        ({"save__format": "webp"}, ("save", "format")),
        ({"save__metadata": "none"}, ("save", "metadata")),
    ],
)
def test_what_has_no_equivalent_is_named(inputs: dict[str, Any], found: tuple[str, str]) -> None:
    assert lacking(changed("redux", **inputs)) == [found]


def test_all_of_it_is_named_at_once() -> None:
    workflow = changed("redux", sample__step_reuse=0.25, save__format="webp", vision__fit="pad")
    assert sorted(lacking(workflow)) == [
        ("sample", "step_reuse"),
        ("save", "format"),
        ("vision", "fit"),
    ]


def test_a_class_that_comfyui_does_not_have_is_named() -> None:
    nodes = changed("text_to_image", prompt__prompt=["t", 0]).to_json()
    nodes["t"] = {"class_type": "TranslatePrompt", "inputs": {"text": "un faro", "source": "Italian"}}
    assert lacking(Workflow.from_json(nodes)) == [("t", None)]


def test_a_workflow_with_faults_has_its_faults_told() -> None:
    with pytest.raises(WorkflowError) as raised:
        stock_workflow(changed("redux", smaller__mode="lo"), REGISTRY)
    assert raised.value.faults[0].code == "value_not_in_list"


# -- The option ---------------------------------------------------------------------------------------------


def test_the_option_writes_a_file_of_the_editor_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.json").write_text(shipped("redux").dumps())
    settings = ["--set", "flux.model=dev", "--set", "redux.model=dev-redux", "--set", "flux.quantize=8"]
    assert cli.main(["in.json", "--export-comfyui", "out.json", *settings]) == 0
    out, err = capsys.readouterr()
    assert out == "out.json\n"
    for part in (
        "copy into ComfyUI's folder input: images/fox.png",
        "kaibioinfo/ComfyUI_AdvancedRefluxControl for: StyleModelApplySimple",
        "quantize is left out, because ComfyUI's loaders do not pack weights: flux",
        "the noise of a seed is PyTorch's",
    ):
        assert part in err
    nodes = convert(json.loads(Path("out.json").read_text()), RegistrySchemas(REGISTRY)).nodes
    dev = changed("redux", flux__model="dev", redux__model="dev-redux")
    assert Workflow.from_json(nodes) == rewritten(dev)


def test_the_option_writes_nothing_if_something_has_no_equivalent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.json").write_text(changed("redux", sample__step_reuse=0.25).dumps())
    assert cli.main(["in.json", "--export-comfyui", "out.json"]) == 2
    assert "in.json: node 'sample' (FluxSample), input 'step_reuse'" in capsys.readouterr().err
    assert not Path("out.json").exists()
