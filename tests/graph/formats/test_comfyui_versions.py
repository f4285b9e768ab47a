"""Workflows of other versions of ComfyUI: inputs added and dropped since, buttons, renamed classes."""

from typing import Any, Literal

import pytest

from run_graph.graph import Context, Field, Link, Node, NodeSpec, Outputs, Registry, Workflow
from run_graph.graph.formats.api import workflow_from
from run_graph.graph.formats.comfyui_versions import Changes, adapted
from run_graph.graph.formats.renamed_classes import RENAMED


class Made(Outputs):
    value: str


class StyleModelApply(Node):
    """A node of ComfyUI's that has gained inputs."""

    stock = True

    conditioning: str = Field(json_schema_extra={"forceInput": True})
    strength: float = 1.0
    strength_type: Literal["multiply", "attn_bias"]
    name: str

    def run(self, ctx: Context) -> Made:
        raise NotImplementedError


class LoadPicture(Node):
    """Reads a picture."""

    image: str = Field(json_schema_extra={"image_upload": True})

    def run(self, ctx: Context) -> Made:
        raise NotImplementedError


class ConditioningAverage(Node):
    """A node whose name had a space at its end."""

    stock = True

    weight: float = 1.0

    def run(self, ctx: Context) -> Made:
        raise NotImplementedError


class ControlNetLoader(Node):
    """A node that reads other files too."""

    stock = True

    control_net_name: str

    def run(self, ctx: Context) -> Made:
        raise NotImplementedError


REGISTRY = Registry([StyleModelApply, LoadPicture, ConditioningAverage, ControlNetLoader])


def read(class_type: str, **inputs: Any) -> tuple[NodeSpec, str | None]:
    changes = Changes()
    workflow = Workflow({"5": NodeSpec(class_type, inputs)})
    found = adapted(workflow, REGISTRY, changes)
    assert (found is workflow) == (changes.line() is None)
    return found.nodes["5"], changes.line()


def test_inputs_added_since_are_filled_in() -> None:
    spec, line = read("StyleModelApply", conditioning=Link("3", 0), name="redux")
    assert spec.inputs == {
        "conditioning": Link("3", 0),
        "name": "redux",
        "strength": 1.0,
        "strength_type": "multiply",
    }
    assert line == (
        'written for another version of ComfyUI: filled in 5.strength = 1.0, 5.strength_type = "multiply"'
    )


def test_a_missing_name_of_a_file_and_a_missing_link_are_left_to_validation() -> None:
    spec, _ = read("StyleModelApply", strength=1, strength_type="multiply")
    assert spec.inputs == {"strength": 1, "strength_type": "multiply"}


def test_inputs_dropped_since_are_left_out() -> None:
    complete = {"name": "redux", "strength": 1, "strength_type": "multiply"}
    spec, line = read("StyleModelApply", **complete, device="cpu", old=Link("7", 0))
    assert spec.inputs == complete
    assert line == "written for another version of ComfyUI: left out 5.device, 5.old"


def test_a_misspelt_input_is_left_to_validation() -> None:
    inputs = {"name": "redux", "strengthh": 2, "strength_type": "multiply"}
    assert read("StyleModelApply", **inputs) == (NodeSpec("StyleModelApply", inputs), None)


@pytest.mark.parametrize("name", ["upload", "choose file to upload", "control_after_generate"])
def test_buttons_of_the_editor_are_left_out(name: str) -> None:
    spec, line = read("LoadPicture", image="fox.png", **{name: "image"})
    assert spec.inputs == {"image": "fox.png"}
    assert line == f"written for another version of ComfyUI: left out 5.{name}"


def test_other_inputs_of_our_own_classes_are_left_to_validation() -> None:
    inputs = {"image": "fox.png", "size": 3}
    assert read("LoadPicture", **inputs) == (NodeSpec("LoadPicture", inputs), None)
    assert read("LoadPicture")[1] is None


def test_what_comfyui_answers_beside_the_inputs_is_ignored() -> None:
    nodes = {"5": {"class_type": "LoadPicture", "inputs": {"image": "fox.png"}, "is_changed": "abc"}}
    assert workflow_from(nodes, pytest.fail, REGISTRY).nodes["5"].inputs == {"image": "fox.png"}


@pytest.mark.parametrize(
    ("name", "expected", "note"),
    [
        ("fox.png [input]", "fox.png", None),
        ("sub/fox.png [output]", "sub/fox.png", "5.image: 'sub/fox.png' is searched for among the inputs"),
        ("fox.png [temp]", "fox.png", "not in ComfyUI's folder 'temp'"),
        ("fox [input].png", "fox [input].png", None),
        ("fox.png[input]", "fox.png[input]", None),
    ],
)
def test_the_folder_in_the_name_of_a_picture(name: str, expected: str, note: str | None) -> None:
    changes = Changes()
    found = adapted(Workflow({"5": NodeSpec("LoadPicture", {"image": name})}), REGISTRY, changes)
    assert found.nodes["5"].inputs == {"image": expected}
    assert (note or "") in (changes.line() or "")
    assert (changes.line() is None) == (note is None)


def test_renamed_classes() -> None:
    spec, line = read("ConditioningAverage ", weight=0.5)
    assert spec == NodeSpec("ConditioningAverage", {"weight": 0.5})
    assert line == (
        "written for another version of ComfyUI: renamed 5: 'ConditioningAverage ' is now ConditioningAverage"
    )
    assert read("T2IAdapterLoader", t2i_adapter_name="a")[0] == NodeSpec(
        "ControlNetLoader", {"control_net_name": "a"}
    )


def test_a_class_that_is_there_under_its_old_name_keeps_it() -> None:
    class Old(Node):
        """A node of somebody else."""

        class_type = "T2IAdapterLoader"

        def run(self, ctx: Context) -> Made:
            raise NotImplementedError

    workflow = Workflow({"5": NodeSpec("T2IAdapterLoader", {})})
    assert adapted(workflow, Registry([Old, ControlNetLoader]), Changes()) is workflow


def test_an_editor_file_with_a_renamed_class_is_converted() -> None:
    written = {"nodes": [{"id": 5, "type": "T2IAdapterLoader", "widgets_values": ["a"]}], "links": []}
    notes: list[str] = []
    assert workflow_from(written, notes.append, REGISTRY).nodes["5"] == NodeSpec(
        "ControlNetLoader", {"control_net_name": "a"}
    )
    assert len(notes) == 1


def test_new_names_are_not_renamed_again() -> None:
    assert not {new.name for new in RENAMED.values()} & RENAMED.keys()


def test_a_long_list_is_cut_and_counted() -> None:
    changes = Changes(added=[f"{number}.a = 1" for number in range(30)])
    assert (changes.line() or "").endswith("11.a = 1 and 18 more")


def test_a_class_in_a_package_called_comfyui_is_stock() -> None:
    class Somewhere(Node):
        """A node."""

        __module__ = "run_graph.nodes.comfyui.latent"

        def run(self, ctx: Context) -> Made:
            raise NotImplementedError

    assert Somewhere.stock
    assert not LoadPicture.stock
