"""The JSON Schema accepts what validation accepts, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
from drawing_samples import REGISTRY, TWO_PICTURES, node

from run_graph.graph import Registry, Workflow, installed_nodes, validate
from run_graph.graph.schema import workflow_schema

jsonschema = pytest.importorskip("jsonschema", reason="validates schemas and documents")
Validator = jsonschema.Draft202012Validator
WORKFLOWS = Path(__file__).parents[2] / "workflows"


def accepted(document: Any) -> bool:
    return bool(Validator(workflow_schema(REGISTRY)).is_valid(document))


def schema_of(class_type: str) -> Any:
    """The part of the workflow schema that is for nodes of one class."""
    choices = workflow_schema(REGISTRY)["$defs"]["node"]["allOf"]
    [schema] = [c["then"] for c in choices if c["if"]["properties"]["class_type"]["const"] == class_type]
    return schema


def encode(**inputs: Any) -> dict[str, Any]:
    return {
        "photo": node("LoadImage", image="x"),
        "encode": node("Encode", **{"image": ["photo", 0], **inputs}),
        "save": node("Save", tokens=["encode", 0]),
    }


@pytest.mark.parametrize(
    "registry", [REGISTRY, Registry(), installed_nodes()], ids=["samples", "none", "installed"]
)
def test_the_schema_is_valid(registry: Registry) -> None:
    schema = workflow_schema(registry)
    Validator.check_schema(schema)
    json.dumps(schema)


def test_the_example_workflows_match_the_schema() -> None:
    validator = Validator(workflow_schema(installed_nodes()))
    files = sorted(WORKFLOWS.glob("*.json"))
    assert files
    for file in files:
        assert not list(validator.iter_errors(json.loads(file.read_text()))), file.name


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"mode": "high", "strength": 1, "size": 32, "factor": 2.5, "mask": ["photo", "mask"]},
        {"factor": None},
        {"mask": None},
        {"image": ["photo", "image"]},
    ],
)
def test_valid_inputs_match_the_schema(inputs: dict[str, Any]) -> None:
    document = encode(**inputs)
    assert not validate(Workflow.from_json(document), REGISTRY)
    assert accepted(document)


@pytest.mark.parametrize(
    "inputs",
    [
        {"mode": "middling"},
        {"strength": 1.5},
        {"strength": -0.1},
        {"strength": "much"},
        {"size": 8},
        {"size": 40},
        {"size": 32.5},
        {"factor": 10},
        {"image": "fox.png"},
        {"image": None},
        {"image": ["photo"]},
        {"image": ["photo", 0, 1]},
        {"image": [3, 0]},
        {"image": ["photo", 0.5]},
        {"image": ["photo", True]},
        {"mode": ["high", "low", "medium"]},
        {"colour": "red"},
    ],
)
def test_invalid_inputs_do_not_match_the_schema(inputs: dict[str, Any]) -> None:
    document = encode(**inputs)
    assert validate(Workflow.from_json(document), REGISTRY)
    assert not accepted(document)


def test_a_missing_required_input_and_an_unknown_class_do_not_match() -> None:
    assert accepted({"photo": node("LoadImage", image="x")})
    assert not accepted({"photo": node("LoadImage")})
    assert not accepted({"photo": {"class_type": "LoadImage"}})
    assert not accepted({"photo": node("LoadImagee", image="x")})
    assert not accepted({"photo": {"inputs": {"image": "x"}}})
    assert not accepted({"photo": "LoadImage"})
    assert not accepted([])


def test_an_input_of_any_type_takes_every_literal_but_lists_must_be_wrapped() -> None:
    def with_note(note: Any) -> dict[str, Any]:
        return {"pick": node("Choose", a=["x", 0], b=["x", 0], note=note)}

    for note in (1, "text", None, True, {"a": [1]}, {"__value__": [1, 2, 3]}, ["x", 0]):
        assert accepted(with_note(note)), note
    assert not accepted(with_note([1, 2, 3]))


def test_a_node_may_have_a_title_but_no_other_extra_keys() -> None:
    assert accepted(TWO_PICTURES.to_json())
    assert not accepted({"photo": {"class_type": "LoadImage", "inputs": {"image": "x"}, "input": {}}})


def test_each_class_takes_only_its_own_inputs() -> None:
    assert accepted({"a": node("Encode", image=["photo", "image"])})
    assert accepted({"a": node("Save", tokens=["photo", 0])})
    assert not accepted({"a": node("Encode", image="fox.png")})
    assert not accepted({"a": node("Encode", tokens=["photo", 0])})
    assert not accepted({"a": node("Save", image=["photo", "image"])})


def test_the_schema_of_a_class_has_what_the_class_declares() -> None:
    properties = schema_of("Encode")["properties"]["inputs"]["properties"]
    assert list(properties) == ["image", "mask", "mode", "strength", "size", "factor"]
    assert properties["strength"]["description"] == "How much."
    assert properties["strength"]["default"] == 1.0
    assert {"type": "number", "minimum": 0, "maximum": 1} in properties["strength"]["anyOf"]
    assert {"type": "string", "enum": ["low", "high"]} in properties["mode"]["anyOf"]
    assert properties["image"]["anyOf"] == [{"$ref": "#/$defs/link"}]
    assert "Outputs: 0 = path (STRING)." in schema_of("Save")["description"]
