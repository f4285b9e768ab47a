"""Every example workflow runs, and what its name promises is true of its pictures."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small import SHIPPED, WORKFLOWS, shipped, with_each

from run_graph.graph import Graph, Workflow, load_workflow
from run_graph.nodes import (
    ConcatConditioning,
    DecodeLatent,
    FluxSample,
    LoadFlux,
    LoadImage,
    LoadRedux,
    PatchDownsample,
    ReduxEncode,
    SaveImage,
    SiglipEncode,
    TextEncode,
)
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.events import Event, NodeStarted
from run_graph.runtime.models.store import ModelStore

MODES = {"lowest": 25, "low": 36, "medium": 81, "high": 169, "highest": 729}


@dataclass
class Run:
    """A workflow's run: its pictures by node id, and what happened."""

    pictures: dict[str, Path]
    events: list[Event]
    store: ModelStore

    @property
    def started(self) -> list[str]:
        return [event.class_type for event in self.events if isinstance(event, NodeStarted)]

    def pixels(self, node_id: str) -> np.ndarray:
        return np.asarray(Image.open(self.pictures[node_id]))

    def settings(self, node_id: str) -> dict[str, Any]:
        return json.loads(Image.open(self.pictures[node_id]).info["run_graph"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Runs an example once, models shared. All but ``redux`` small and in two steps, to save time."""
    store = ModelStore()
    session = Session(cache=NoCache(), services=Services(store))
    runs: dict[str, Run] = {}

    def once(name: str) -> Run:
        if name not in runs:
            workflow = shipped(name)
            if name != "redux":
                workflow = with_each(workflow, "FluxSample", width=48, height=48, steps=2)
            environment = RunEnvironment([WORKFLOWS], tmp_path_factory.mktemp(name))
            events: list[Event] = []
            result = session.run(workflow, environment=environment, on_event=events.append)
            pictures = {node_id: Path(outputs.path) for node_id, outputs in result.by_node.items()}  # type: ignore[attr-defined]
            runs[name] = Run(pictures, events, store)
        return runs[name]

    return once


@pytest.mark.parametrize("name", SHIPPED)
def test_every_workflow_runs_and_saves_a_picture_for_each_output(
    run: Callable[[str], Run], name: str
) -> None:
    workflow = shipped(name)
    outputs = [node_id for node_id, spec in workflow.nodes.items() if spec.class_type == "SaveImage"]
    assert list(run(name).pictures) == outputs
    for node_id in outputs:
        pixels, settings = run(name).pixels(node_id), run(name).settings(node_id)
        assert pixels.shape == (settings["height"], settings["width"], 3)
        assert pixels.std() > 1  # not one flat colour


@pytest.mark.parametrize("name", SHIPPED)
def test_every_workflow_uses_the_built_in_model_so_that_it_needs_no_download(name: str) -> None:
    models = {spec.inputs["model"] for spec in shipped(name).nodes.values() if "model" in spec.inputs}
    assert models == {"tiny"}


def test_redux_runs_as_shipped_with_all_its_steps(run: Callable[[str], Run]) -> None:
    settings = run("redux").settings("save")
    assert (settings["width"], settings["height"], settings["steps"]) == (96, 96, 8)


def test_the_five_modes_encode_picture_and_prompt_once(run: Callable[[str], Run]) -> None:
    started = run("redux_modes").started
    for class_type in ("LoadImage", "SiglipEncode", "ReduxEncode", "TextEncode"):
        assert started.count(class_type) == 1
    assert started.count("FluxSample") == started.count("DecodeLatent") == 5


def test_each_component_is_read_once_for_all_workflows(run: Callable[[str], Run]) -> None:
    for name in SHIPPED:
        store = run(name).store
    loads = {key.component: count for key, count in store.loads.items()}
    parts = ("image_encoder", "image_embedder", "text_encoder", "text_encoder_2", "transformer", "vae")
    assert loads == dict.fromkeys(parts, 1)


def test_the_five_modes_give_five_pictures(run: Callable[[str], Run]) -> None:
    pictures = [run("redux_modes").pixels(node_id).astype(int) for node_id in run("redux_modes").pictures]
    assert len(pictures) == 5
    for one, other in itertools.combinations(pictures, 2):
        assert np.abs(one - other).max() > 2


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_writes_its_number_of_tokens(run: Callable[[str], Run], mode: str) -> None:
    settings = run("redux_modes").settings(f"save_{mode}")
    assert (settings["redux_mode"], settings["redux_tokens"]) == (mode, [MODES[mode]])


def test_two_references_are_named_in_order(run: Callable[[str], Run]) -> None:
    settings = run("two_references").settings("save")
    assert settings["redux_image_paths"] == ["images/sunset.png", "images/teapot.png"]
    assert settings["redux_image_strengths"] == [1.0, 0.8]


def test_a_prompt_alone_needs_no_redux(run: Callable[[str], Run]) -> None:
    assert "SiglipEncode" not in run("text_to_image").started
    assert run("text_to_image").settings("save")["redux_image_paths"] == []


# -- the same graph, built in Python ----------------------------------------------------------------


def redux_graph(model: str = "tiny", **sampling: int) -> Graph:
    g = Graph()
    photo = g.add(LoadImage(image="images/fox.png"), title="Reference picture", id="photo")
    redux = g.add(LoadRedux(model=model), id="redux")
    flux = g.add(LoadFlux(model=model), id="flux")
    vision = g.add(SiglipEncode(siglip=redux.siglip, image=photo.image), id="vision")
    tokens = g.add(ReduxEncode(redux=redux.redux, vision=vision.vision), id="tokens")
    smaller = g.add(PatchDownsample(tokens=tokens.tokens, mode="medium"), id="smaller")
    asked = "a car, flat style, on a blue background"
    prompt = g.add(TextEncode(text_encoders=flux.text_encoders, prompt=asked), id="prompt")
    both = g.add(
        ConcatConditioning(conditioning=prompt.conditioning, tokens=smaller.tokens, strength=1.0), id="both"
    )
    size = {"width": 96, "height": 96, "steps": 8, **sampling}
    sample = g.add(
        FluxSample(flux=flux.flux, conditioning=both.conditioning, guidance=3.5, seed=1, **size), id="sample"
    )
    image = g.add(DecodeLatent(vae=flux.vae, latent=sample.latent), id="image")
    g.add(SaveImage(images=image.image, filename_prefix="redux"), id="save")
    return g


def test_the_graph_built_in_python_is_the_shipped_one() -> None:
    assert redux_graph() == Graph.load(WORKFLOWS / "redux.json")


def test_a_graph_that_was_built_saved_and_loaded_is_equal_and_gives_the_same_pixels(
    tmp_path: Path, small_model: str
) -> None:
    g = redux_graph(small_model, width=32, height=32, steps=2)
    g.save(tmp_path / "redux.json")
    loaded = Graph.load(tmp_path / "redux.json")
    assert loaded == g
    assert load_workflow(tmp_path / "redux.json") == g.workflow
    folders = {"input_directories": [WORKFLOWS], "output_directory": tmp_path / "out"}
    image, saved = (g.outputs(node_id) for node_id in ("image", "save"))
    first = g.run([image, saved], **folders)
    again = loaded.run(**folders)
    pixels = first.value(image.image).pixels  # type: ignore[attr-defined]
    path = again.outputs("save").path  # type: ignore[attr-defined]
    np.testing.assert_array_equal(np.asarray(Image.open(path)), np.round(np.clip(pixels[0], 0, 1) * 255))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_file_survives_loading_and_saving(tmp_path: Path, name: str) -> None:
    Graph.load(WORKFLOWS / f"{name}.json").save(tmp_path / "again.json")
    again = load_workflow(tmp_path / "again.json")
    assert isinstance(again, Workflow)
    assert Graph.from_workflow(again) == Graph.load(WORKFLOWS / f"{name}.json")
