"""What the converter needs to know of ComfyUI's classes is what our classes of these names say."""

import pytest
from editor_samples import SCHEMAS

from run_graph.graph import Field, Node, Outputs, Registry
from run_graph.graph.formats.editor.schema import (
    NO_DEFAULT,
    EditorInput,
    RegistrySchemas,
    editor_inputs_of,
)
from run_graph.nodes import NODES

OURS = RegistrySchemas(Registry(NODES))
SHARED = [class_type for class_type in SCHEMAS if OURS.inputs(class_type) is not None]


def widgets(inputs: dict[str, EditorInput]) -> list[tuple[str, int, bool]]:
    return [(each.name, each.extra_slots, each.is_dynamic) for each in inputs.values() if each.is_widget]


@pytest.mark.parametrize("class_type", SHARED)
def test_widgets_of_our_classes_are_comfyuis(class_type: str) -> None:
    ours, theirs = dict(OURS.inputs(class_type) or {}), dict(SCHEMAS.inputs(class_type) or {})
    assert widgets(ours) == widgets(theirs)
    for name, each in theirs.items():
        # Choices of files are text here, without a first one.
        if each.is_widget and each.default is not NO_DEFAULT and not each.options:
            assert ours[name].default == each.default, name


def test_the_classes_of_this_package_are_among_them() -> None:
    assert {"LoadImage", "SaveImage"} <= set(SHARED)


class Given(Outputs):
    value: int


class Sampler(Node):
    """A node with one input of each kind."""

    seed: int = Field(json_schema_extra={"control_after_generate": True})
    steps: int = Field(20, ge=1, json_schema_extra={"step": 2})
    noise_seed: int = 0
    fixed_seed: int = Field(0, json_schema_extra={"forceInput": True})
    text: str = Field(json_schema_extra={"multiline": True, "dynamicPrompts": True})
    name: str
    extra: float = Field(1.0, json_schema_extra={"added": True})

    def run(self, ctx: object) -> Given:
        raise NotImplementedError


def test_inputs_of_a_class() -> None:
    found = editor_inputs_of(Sampler)
    assert list(found) == ["seed", "steps", "noise_seed", "fixed_seed", "text", "name"]
    assert [each.extra_slots for each in found.values()] == [1, 0, 1, 0, 0, 0]
    assert [each.default for each in found.values()] == [0, 20, 0, 0, "", NO_DEFAULT]
    assert [each.name for each in found.values() if not each.is_widget] == ["fixed_seed"]
    assert [each.name for each in found.values() if each.was_widget] == ["fixed_seed"]
    assert [each.name for each in found.values() if each.is_dynamic] == ["text"]
    assert RegistrySchemas(Registry([Sampler])).inputs("Other") is None


@pytest.mark.parametrize(("value", "stepped"), [(640, 640), (700, 704), (643, 640), (1.5, 1.5), (True, True)])
def test_whole_numbers_go_in_steps_where_a_primitive_sets_them(value: object, stepped: object) -> None:
    width = EditorInput("width", "INT", is_widget=True, minimum=16, step=8)
    assert width.stepped(value) == stepped


def test_values_of_inputs_that_are_sockets_now_are_skipped_if_the_file_still_has_them() -> None:
    from editor_samples import file, node

    from run_graph.graph.formats.editor.conversion import convert

    schemas = RegistrySchemas(Registry([Sampler]))
    old = [7, "fixed", 30, 8, "fixed", 9, "a fox", "name"]
    new = [7, "fixed", 30, 8, "fixed", "a fox", "name"]
    expected = {"seed": 7, "steps": 30, "noise_seed": 8, "text": "a fox", "name": "name"}
    for values in (old, new):
        assert convert(file([node(1, "Sampler", values=values)]), schemas).nodes["1"]["inputs"] == expected
