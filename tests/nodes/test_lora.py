"""LoadLora: adds to a handle, refuses before sampling, and is recorded in the picture."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from lora_samples import Sample, diffusers
from small import shipped, shrunk

from run_graph.graph import Registry, Workflow, WorkflowError
from run_graph.nodes import NODES, LoadFlux, LoadLora
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import NodeFailed
from run_graph.runtime.events import Event, NodeStarted
from run_graph.runtime.images.png_text import read_text
from run_graph.runtime.models.assembly import leaves
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.loading import load_component
from run_graph.runtime.models.store import ModelStore


@pytest.fixture
def lora(small_model: str, tmp_path: Path) -> Path:
    """A LoRA for the small model, which has one single block fewer than the models of its tests."""
    module = load_component(Checkpoint("small", folder=Path(small_model)), "transformer").module
    sizes = {name: layer.weight.shape for name, layer in leaves(module) if isinstance(layer, nn.Linear)}
    sizes |= {name.replace("blocks.0", "blocks.1"): size for name, size in sizes.items()}
    tensors = {name: array for name, array in diffusers(sizes).tensors.items() if "single" not in name}
    return Sample(tensors, {}).save(tmp_path / "style.safetensors")


def with_lora(model: str, name: str, **inputs: Any) -> dict[str, Any]:
    """The text-to-image example with a LoRA between model and sampler."""
    nodes = shrunk(shipped("text_to_image"), model).to_json()
    sampler = next(spec for spec in nodes.values() if spec["class_type"] == "FluxSample")
    inputs = {"flux": sampler["inputs"]["flux"], "lora": name, **inputs}
    nodes["style"] = {"class_type": "LoadLora", "inputs": inputs}
    sampler["inputs"]["flux"] = ["style", "flux"]
    return nodes


def run(nodes: dict[str, Any], folder: Path, store: ModelStore | None = None) -> tuple[Any, list[Event]]:
    events: list[Event] = []
    session = Session(Registry(NODES), NoCache(), Services(store or ModelStore()))
    environment = RunEnvironment([folder], folder / "out")
    workflow = Workflow.from_json(nodes)
    return session.run(workflow, environment=environment, on_event=events.append), events


def test_loras_chain_and_the_handle_below_stays_as_it_is(bench: Any, small_model: str, lora: Path) -> None:
    flux = bench.run(LoadFlux(model=small_model)).flux
    once = bench.run(LoadLora(flux=flux, lora=str(lora), scale=0.5)).flux
    twice = bench.run(LoadLora(flux=once, lora="style.safetensors")).flux
    assert flux.loras == ()
    assert [(entry.name, entry.scale) for entry in twice.loras] == [
        (str(lora), 0.5),
        ("style.safetensors", 1.0),
    ]
    assert twice.checkpoint == flux.checkpoint
    assert twice.affinity == flux.affinity, "nodes of both are grouped: they share their weights"


def test_the_picture_changes_and_records_which_loras_made_it(
    small_model: str, lora: Path, tmp_path: Path
) -> None:
    store = ModelStore()
    result, _ = run(with_lora(small_model, "style.safetensors", scale=0.8), tmp_path, store)
    plain, _ = run(with_lora(small_model, "style.safetensors", scale=0.0), tmp_path, store)
    paths = [next(iter(outcome.by_node.values())).path for outcome in (result, plain)]
    settings = json.loads(read_text(Path(paths[0]))["run_graph"])
    assert settings["lora_paths"] == ["style.safetensors"]
    assert settings["lora_scales"] == [0.8]
    from PIL import Image

    first, second = (np.asarray(Image.open(path)).astype(int) for path in paths)
    assert np.abs(first - second).mean() > 0.5
    loads = [count for key, count in store.loads.items() if key.component == "transformer"]
    assert loads == [1]


def test_a_lora_for_another_model_is_found_by_validation(small_model: str, tmp_path: Path) -> None:
    key = "lora_unet_down_blocks_1_attentions_0_proj_in.lora_up.weight"
    Sample({key: np.zeros((4, 4), np.float32)}, {}).save(tmp_path / "sdxl.safetensors")
    store = ModelStore()
    with pytest.raises(
        WorkflowError, match=r"node 'style' \(LoadLora\), input 'lora': .*is not a LoRA for FLUX\.1"
    ) as caught:
        run(with_lora(small_model, "sdxl.safetensors"), tmp_path, store)
    assert key in str(caught.value)
    assert not store.loads


def test_a_lora_of_another_width_fails_before_anything_is_sampled(small_model: str, tmp_path: Path) -> None:
    name = "transformer.transformer_blocks.0.attn.to_q"
    tensors = {f"{name}.lora_A.weight": np.zeros((4, 3072)), f"{name}.lora_B.weight": np.zeros((3072, 4))}
    Sample({key: array.astype(np.float32) for key, array in tensors.items()}, {}).save(
        tmp_path / "real.safetensors"
    )
    events: list[Event] = []
    with pytest.raises(NodeFailed, match=rf"{name}\.lora_A\.weight has shape \(4, 3072\)"):
        run(with_lora(small_model, "real.safetensors"), tmp_path)
    assert not any(isinstance(event, NodeStarted) and event.class_type == "DecodeLatent" for event in events)


def test_an_output_without_what_it_is_made_from_is_told(small_model: str, lora: Path, tmp_path: Path) -> None:
    nodes = with_lora(small_model, "style.safetensors")
    prompt = next(spec for spec in nodes.values() if spec["class_type"] == "TextEncode")
    source, prompt["inputs"]["text_encoders"] = prompt["inputs"]["text_encoders"], ["style", "text_encoders"]
    with pytest.raises(NodeFailed, match=r"nothing came through the link of 'text_encoders'"):
        run(nodes, tmp_path)
    nodes["style"]["inputs"]["text_encoders"] = source
    run(nodes, tmp_path)


def problems(model: str, name: str, folder: Path) -> list[str]:
    node = LoadLora.model_construct(flux=None, lora=name)
    return [problem.message for problem in node.check(RunEnvironment([folder], folder / "out"))]


def test_a_missing_or_broken_file_is_found_by_validation(
    small_model: str, lora: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.safetensors").write_bytes(lora.read_bytes()[:-1])
    assert problems(small_model, "style.safetensors", tmp_path) == []
    assert problems(small_model, "maker/styles", tmp_path) == [], (
        "a repository is asked when the run needs it"
    )
    (missing,) = problems(small_model, "absent.safetensors", tmp_path)
    assert "absent.safetensors" in missing
    (broken,) = problems(small_model, "broken.safetensors", tmp_path)
    assert "is cut short" in broken


def test_the_key_follows_the_files_contents(lora: Path, tmp_path: Path) -> None:
    environment = RunEnvironment([tmp_path], tmp_path / "out")
    node = LoadLora.model_construct(flux=None, lora="style.safetensors")
    before = node.fingerprint(environment)
    same = LoadLora.model_construct(flux=None, lora=str(lora))
    assert same.fingerprint(environment) == before
    lora.write_bytes(lora.read_bytes() + b" ")
    assert node.fingerprint(environment) != before


def test_the_model_without_lora_is_not_changed_by_the_one_with(
    bench: Any, store: ModelStore, small_model: str, lora: Path
) -> None:
    flux = bench.run(LoadFlux(model=small_model)).flux
    adapted = bench.run(LoadLora(flux=flux, lora=str(lora))).flux
    weights = store.get(flux.checkpoint, "transformer").module.parameters()
    before = mx.array(weights["transformer_blocks"][0]["attn"]["to_q"]["weight"])
    store.transformer(adapted.checkpoint, adapted.quantize, adapted.loras)
    assert mx.array_equal(weights["transformer_blocks"][0]["attn"]["to_q"]["weight"], before)
