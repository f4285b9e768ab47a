"""``--inputs``: what can be set, from a file, a picture or standard input."""

import json
from pathlib import Path
from typing import Any

import pytest
from small import edit, shipped

from run_graph.graph import Link, NodeSpec, Registry, Workflow
from run_graph.nodes import NODES
from run_graph.runtime.cli import main as cli
from run_graph.runtime.cli.inputs_option import settable_inputs
from run_graph.runtime.cli.set_option import apply_settings
from run_graph.runtime.formats.source import Source

REGISTRY = Registry(NODES)


def rows(text: str) -> dict[str, list[str]]:
    """The columns of each line, by place."""
    found = {}
    for line in text.splitlines():
        place, *rest = [column.strip() for column in line.split("  ") if column.strip()]
        found[place] = rest
    return found


def test_each_input_has_its_value_and_what_it_takes(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["redux.json", "--inputs", "--set", "seed=7"]) == 0
    found = rows(capsys.readouterr().out)
    assert found["sample.seed"] == ["7", "INT, from 0 to 18446744073709551615 or random"]
    assert found["sample.width"] == ["32", "INT, from 16 to 8192, a multiple of 16"]
    assert found["smaller.mode"] == ['"medium"', "one of lowest, low, medium, high, highest"]
    assert found["smaller.factor"] == ["null (default)", "FLOAT, from 1 to 9 or null"]
    assert found["photo.image"] == ['"images/fox.png"', "a picture file"]
    assert found["photo.frames"] == ['"all" (default)', "one of all, first"]
    assert "vision.image" not in found  # takes only a link


def test_all_of_it_is_in_the_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = "a very long prompt " * 20
    assert cli.main(["redux.json", "--inputs", "--json", "--set", f"prompt={prompt}"]) == 0
    event = json.loads(capsys.readouterr().out)
    assert (event["event"], event["file"]) == ("inputs", "redux.json")
    found = {f"{each['node']}.{each['input']}": each for each in event["inputs"]}
    assert found["prompt.prompt"]["value"] == prompt
    assert found["sample.width"] == {
        "node": "sample",
        "class_type": "FluxSample",
        "input": "width",
        "type": "INT",
        "value": 32,
        "link": None,
        "given": True,
        "required": False,
        "default": 1024,
        "choices": None,
        "minimum": 16,
        "maximum": 8192,
        "multiple_of": 16,
        "description": "Pixels.",
    }
    assert found["smaller.mode"]["choices"] == ["lowest", "low", "medium", "high", "highest"]


def test_every_place_that_is_listed_can_be_set() -> None:
    source = Source(shipped("two_references"), ())
    inputs = settable_inputs(source.workflow, REGISTRY)
    assert len(inputs) > 20
    for each in inputs:
        changed = apply_settings(source, [f"{each.node_id}.{each.name}=x"], REGISTRY).workflow
        assert changed.nodes[each.node_id].inputs[each.name] == "x"


def test_a_link_and_a_missing_value_are_shown_as_such() -> None:
    workflow = Workflow({"prompt": NodeSpec("TextEncode", {"prompt": Link("translate", "text")})})
    [prompt] = settable_inputs(workflow, REGISTRY)
    assert prompt.columns()[1] == "linked to translate"
    assert prompt.to_json()["link"] == ["translate", "text"]
    [prompt] = settable_inputs(Workflow({"prompt": NodeSpec("TextEncode")}), REGISTRY)
    assert prompt.columns()[1] == "(missing)"
    assert not prompt.to_json()["given"]


def test_a_picture_lists_the_inputs_of_its_graph(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["redux.json", "--set", "seed=5"]) == 0
    picture = capsys.readouterr().out.strip()
    assert cli.main([picture, "--inputs"]) == 0
    assert rows(capsys.readouterr().out)["sample.seed"][0] == "5"


def test_several_files_are_listed_under_their_names(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["redux.json", "redux.json", "--inputs"]) == 0
    assert capsys.readouterr().out.splitlines().count("redux.json:") == 2


def test_a_draft_with_faults_is_listed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def spoil(nodes: dict[str, Any]) -> None:
        nodes["sample"]["inputs"]["steps"] = "many"
        nodes["save"]["class_type"] = "Nothing"

    edit(project, spoil)
    assert cli.main(["redux.json", "--inputs"]) == 0
    found = rows(capsys.readouterr().out)
    assert found["sample.steps"][0] == '"many"'
    assert found["save.filename_prefix"] == ['"redux"', "there is no node class 'Nothing'"]
    assert "save.images" not in found  # it is linked
    assert cli.main(["redux.json", "--inputs", "--json"]) == 0
    unknown = json.loads(capsys.readouterr().out)["inputs"][-1]
    assert (unknown["input"], unknown["value"], unknown["type"]) == ("filename_prefix", "redux", None)
