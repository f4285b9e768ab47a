"""Settings never lie: a run from them alone makes the same picture, or is refused by name."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from run_graph.graph import Context, Field, Link, Node, NodeSpec, Outputs, Registry, Workflow, WorkflowError
from run_graph.graph import load_workflow as load
from run_graph.graph.declaration import InputSpec, parameters_of
from run_graph.graph.registry import installed_nodes
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.formats.mflux.embedded import workflow_of_settings
from run_graph.runtime.images.exif import read_mflux_comment
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.values import Image

# What a text parameter may be instead, where any text will not do.
TEXTS = {"prompt": "a boat", "image": "images/rocket.png", "filename_prefix": "elsewhere"}


class Inverted(Outputs):
    image: Image = Field(description="The negative.")


class Invert(Node):
    """Turn a picture into its negative."""

    category = "image"
    image: Image = Field(description="The picture.")

    def run(self, ctx: Context) -> Inverted:
        return Inverted(image=replace(self.image, pixels=1 - self.image.pixels))


class Painter:
    """Runs workflows in a project, with models kept."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.registry = Registry([*installed_nodes().values(), Invert])
        self._session = Session(self.registry, NoCache(), Services(ModelStore()))

    def save(self, workflow: Workflow) -> list[Path]:
        folder = self.project.parent / "out"
        before = set(folder.glob("*.*"))
        environment = RunEnvironment([self.project.parent], folder)
        self._session.run(workflow, environment=environment)
        return sorted(set(folder.glob("*.*")) - before)


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory, small_model: str) -> Painter:
    from small import make_project

    return Painter(make_project(tmp_path_factory.mktemp("project"), small_model))


@pytest.fixture
def workflow(painter: Painter) -> Workflow:
    return load(painter.project)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(PilImage.open(path))


def settings(path: Path) -> dict[str, Any]:
    found = read_mflux_comment(path)
    assert found is not None
    return found


def replayed(painter: Painter, path: Path) -> Path:
    """The picture that a picture's settings alone make. Raises WorkflowError if they are refused."""
    again, _ = workflow_of_settings(settings(path), path)
    [made] = painter.save(again)
    return made


def parameters(workflow: Workflow) -> Iterator[tuple[str, str, InputSpec]]:
    """Each parameter of each node of a workflow."""
    for node_id, spec in workflow.nodes.items():
        for name, each in parameters_of(installed_nodes()[spec.class_type]).items():
            yield node_id, name, each


def another(spec: InputSpec, given: Any) -> Any:
    """A legal value other than the one given and the default."""
    if spec.options:
        return next(option for option in spec.options if option not in (given, spec.default))
    if spec.socket == "STRING":
        return TEXTS[spec.name]
    if spec.name == "tile_size":
        return 128
    if spec.socket == "FLOAT" and spec.minimum is not None and spec.maximum is not None:
        return (spec.minimum + min(spec.maximum, spec.minimum + 1)) / 2
    step = spec.multiple_of or 1
    value = (spec.minimum or 0) + step
    return value if value not in (given, spec.default) else value + step


def every_parameter() -> list[tuple[str, str]]:
    from small import shipped

    return [(node_id, name) for node_id, name, _ in parameters(shipped("redux"))]


@pytest.mark.parametrize(("node_id", "name"), every_parameter())
def test_a_parameter_survives_or_is_refused_by_name(
    painter: Painter, workflow: Workflow, node_id: str, name: str
) -> None:
    if name == "model":  # the project's own model is another one than the default already
        changed = workflow
    else:
        spec = next(each for found, own, each in parameters(workflow) if (found, own) == (node_id, name))
        value = another(spec, workflow.nodes[node_id].inputs.get(name))
        if name == "tile_size":
            workflow = workflow.with_input("sample", "width", 192)
        changed = workflow.with_input(node_id, name, value)
    class_type = workflow.nodes[node_id].class_type
    path = painter.save(changed)[-1]
    if "not_in_settings" in settings(path):
        with pytest.raises(
            WorkflowError, match=re.escape(f"node {node_id!r} ({class_type}), input {name!r}")
        ):
            replayed(painter, path)
    else:
        difference = np.abs(pixels(replayed(painter, path)).astype(int) - pixels(path))
        # A JPEG has lost detail; what is made again is the picture before that.
        assert difference.mean() < 20 if name == "format" else difference.max() == 0


def test_the_recorded_parameters_are_read_off_the_nodes(painter: Painter, workflow: Workflow) -> None:
    [path] = painter.save(workflow)
    for class_type in ("FluxSample", "DecodeLatent"):
        assert parameters_of(installed_nodes()[class_type]).keys() <= settings(path).keys()


def test_a_node_between_file_and_encoder_is_refused_by_name(painter: Painter, workflow: Workflow) -> None:
    nodes = {**workflow.nodes, "negative": NodeSpec("Invert", {"image": Link("photo", 0)})}
    changed = Workflow(nodes).with_input("vision", "image", Link("negative", 0))
    [path] = painter.save(changed)
    with pytest.raises(WorkflowError, match=r"settings cannot express: node 'negative' \(Invert\)"):
        replayed(painter, path)


def test_a_node_after_the_decoder_is_refused_by_name(painter: Painter, workflow: Workflow) -> None:
    [save] = [node_id for node_id, spec in workflow.nodes.items() if spec.class_type == "SaveImage"]
    [(name, link)] = [pair for pair in workflow.nodes[save].inputs.items() if isinstance(pair[1], Link)]
    nodes = {**workflow.nodes, "negative": NodeSpec("Invert", {"image": link})}
    [path] = painter.save(Workflow(nodes).with_input(save, name, Link("negative", 0)))
    with pytest.raises(WorkflowError, match=r"node 'negative' \(Invert\)"):
        replayed(painter, path)


def test_text_encoders_of_another_model_are_refused_by_name(painter: Painter, workflow: Workflow) -> None:
    other = replace(workflow.nodes["flux"], inputs={**workflow.nodes["flux"].inputs, "quantize": 8})
    changed = Workflow({**workflow.nodes, "other": other})
    changed = changed.with_input("prompt", "text_encoders", Link("other", 1))
    [path] = painter.save(changed)
    with pytest.raises(WorkflowError, match=r"node 'other' \(LoadFlux\), input 'quantize' = 8"):
        replayed(painter, path)


def test_a_picture_without_a_reference_is_made_again(painter: Painter, workflow: Workflow) -> None:
    [path] = painter.save(workflow.with_input("sample", "conditioning", Link("prompt", 0)))
    np.testing.assert_array_equal(pixels(replayed(painter, path)), pixels(path))


def test_a_picture_of_a_batch_is_made_again_alone(painter: Painter, workflow: Workflow) -> None:
    paths = painter.save(workflow.with_input("sample", "batch_size", 2))
    assert len(paths) == 2
    for path in paths:
        difference = pixels(replayed(painter, path)).astype(int) - pixels(path)
        assert np.abs(difference).max() <= 1
    assert np.abs(pixels(paths[0]).astype(int) - pixels(paths[1])).max() > 10


def test_settings_of_a_later_version_are_refused_by_name(painter: Painter, workflow: Workflow) -> None:
    [path] = painter.save(workflow)
    document = {**settings(path), "flow_reversal": 3}
    with pytest.raises(WorkflowError, match="flow_reversal, which this version does not know"):
        workflow_of_settings(document, path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("sampler", "euler_turbo", "the recorded sampler is 'euler_turbo', which run-graph does not have"),
        ("steps", "many", "the recorded steps is 'many', which is not an INT"),
        ("step_reuse", True, "the recorded step_reuse is True, which is not a FLOAT"),
    ],
)
def test_a_recorded_value_that_is_none_of_the_parameters_is_refused(
    painter: Painter, workflow: Workflow, name: str, value: Any, message: str
) -> None:
    [path] = painter.save(workflow)
    with pytest.raises(WorkflowError, match=message):
        workflow_of_settings({**settings(path), name: value}, path)


def test_saving_a_picture_past_another_saver_is_the_same(painter: Painter, workflow: Workflow) -> None:
    [save] = [node_id for node_id, spec in workflow.nodes.items() if spec.class_type == "SaveImage"]
    second = NodeSpec("SaveImage", {"images": Link(save, "images"), "filename_prefix": "second"})
    paths = painter.save(Workflow({**workflow.nodes, "second": second}))
    assert len(paths) == 2
    for path in paths:
        assert "not_in_settings" not in settings(path)
        np.testing.assert_array_equal(pixels(replayed(painter, path)), pixels(path))


@pytest.mark.parametrize("background", ["none", "white", "black"])
def test_how_a_transparent_reference_was_read_is_recorded(
    painter: Painter, workflow: Workflow, background: str
) -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (32, 32, 4), np.uint8)
    PilImage.fromarray(rgba).save(painter.project.parent / "clear.png")
    changed = workflow.with_input("photo", "image", "clear.png").with_input("photo", "background", background)
    [path] = painter.save(changed)
    assert settings(path)["redux_background"] == background
    assert "not_in_settings" not in settings(path)
    np.testing.assert_array_equal(pixels(replayed(painter, path)), pixels(path))
