"""Reading workflow files: what is accepted, and one clear message for everything else."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from run_graph.graph import (
    Context,
    Link,
    Node,
    Outputs,
    Registry,
    WorkflowError,
    load_workflow,
    parse_workflow,
)
from run_graph.graph.formats.api import workflow_from

NODES = {
    "photo": {"class_type": "LoadPhoto", "inputs": {"name": "fox.png"}},
    "blur": {"class_type": "Blur", "inputs": {"image": ["photo", "image"]}},
}


def code_of(error: pytest.ExceptionInfo[WorkflowError]) -> str:
    (fault,) = error.value.faults
    assert fault.message
    assert fault.fix
    return fault.code


def refused(text: str) -> WorkflowError:
    with pytest.raises(WorkflowError) as error:
        parse_workflow(text)
    code_of(error)
    return error.value


def test_a_file_of_nodes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text(json.dumps(NODES))
    workflow = load_workflow(path)
    assert list(workflow.nodes) == ["photo", "blur"]
    assert workflow.nodes["blur"].inputs["image"] == Link("photo", "image")
    assert load_workflow(str(path)) == workflow


def test_a_byte_order_mark_and_other_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(NODES, indent=1).replace("\n", "\r\n").encode())
    assert list(load_workflow(path).nodes) == ["photo", "blur"]


@pytest.mark.parametrize(
    "wrapped",
    [
        {"prompt": NODES},
        {"prompt": NODES, "client_id": "x", "extra_data": {}},
        {"input": {"workflow": NODES, "images": []}},
    ],
    ids=["server request", "with extras", "worker request"],
)
def test_wrapped_workflows_are_unwrapped(wrapped: dict[str, Any]) -> None:
    assert workflow_from(wrapped) == workflow_from(NODES)


def test_nodes_called_prompt_and_input_are_nodes() -> None:
    nodes = {"prompt": {"class_type": "A", "inputs": {}}, "input": {"class_type": "B", "inputs": {}}}
    assert list(workflow_from(nodes).nodes) == ["prompt", "input"]


def test_float_slots_are_whole_numbers_and_value_lists_are_literals() -> None:
    text = '{"a": {"class_type": "A", "inputs": {"x": ["b", 1.0], "y": {"__value__": ["b", 1]}}}}'
    inputs = parse_workflow(text).nodes["a"].inputs
    assert inputs["x"] == Link("b", 1)
    assert inputs["y"] == {"__value__": ["b", 1]}


def test_a_missing_file_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "portrait.json").write_text("{}")
    with pytest.raises(WorkflowError) as error:
        load_workflow(tmp_path / "portrat.json")
    assert code_of(error) == "file_not_found"
    assert str(tmp_path / "portrat.json") in str(error.value)
    assert "Did you mean 'portrait.json'?" in str(error.value)


def test_a_missing_folder_and_a_file_as_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(WorkflowError, match="there is no such file"):
        load_workflow(tmp_path / "no" / "such" / "w.json")
    (tmp_path / "w.json").write_text("{}")
    with pytest.raises(WorkflowError, match=r"[Nn]ot a directory"):
        load_workflow(tmp_path / "w.json" / "inner.json")


def test_a_folder_is_not_a_workflow(tmp_path: Path) -> None:
    with pytest.raises(WorkflowError, match="this is a folder") as error:
        load_workflow(tmp_path)
    assert code_of(error) == "not_a_file"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_file_that_may_not_be_read_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text("{}")
    path.chmod(0)
    with pytest.raises(WorkflowError, match="Permission denied"):
        load_workflow(path)


def test_a_binary_file_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    with pytest.raises(WorkflowError, match="byte 0 is not UTF-8 text") as error:
        load_workflow(path)
    assert code_of(error) == "not_text"
    assert "photo.png" in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "   \n", '{"a": {"class_type": "A"', "{'a': 1}", '{"a": {}} trailing', "nope"]
)
def test_broken_json_is_refused_with_its_place(text: str) -> None:
    error = refused(text)
    assert error.faults[0].code == "invalid_json"
    assert "line " in str(error)
    assert "column " in str(error)


def test_the_place_counts_lines_and_columns_from_one() -> None:
    assert "line 2, column 8:" in str(refused('{"a":\n  {"b" 1}}'))


def test_the_file_of_broken_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_text(json.dumps(NODES)[:50])
    with pytest.raises(WorkflowError) as error:
        load_workflow(path)
    assert str(error.value).startswith(f"{path}: line 1, column ")


@pytest.mark.parametrize(
    "text",
    [
        '{"a": {"class_type": "A"}, "a": {"class_type": "B"}}',
        '{"n": {"class_type": "A", "inputs": {"a": 1, "a": 1}}}',
    ],
)
def test_duplicate_keys_are_refused_by_name(text: str) -> None:
    error = refused(text)
    assert error.faults[0].code == "duplicate_key"
    assert "'a' occurs more than once" in str(error)


def test_a_duplicate_key_among_many_is_found_in_linear_time() -> None:
    keys = [f'"{i}": 0' for i in range(50_000)]
    started = time.perf_counter()
    refused("{" + ",".join([*keys, '"7": 1']) + "}")
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_are_not_finite_are_refused(number: str) -> None:
    error = refused(f'{{"a": {{"class_type": "A", "inputs": {{"x": {number}}}}}}}')
    assert error.faults[0].code == "invalid_json"
    assert "node 'a', input 'x': " in str(error)
    shown = number.replace("1e999", "Infinity")
    assert f"{shown} is not a finite number" in str(error)


def test_numbers_that_are_not_finite_are_no_matter_where_nobody_reads_them() -> None:
    text = '{"a": {"class_type": "A", "inputs": {"x": 1}, "is_changed": [NaN], "_meta": {"pos": Infinity}}}'
    assert parse_workflow(text).nodes["a"].inputs == {"x": 1}


@pytest.mark.parametrize("value", ['"a fox \\ud83d"', '["ok", "\\udc00"]', '{"deep": ["\\ud800"]}'])
def test_text_that_was_cut_in_the_middle_of_a_character_is_refused_with_its_place(value: str) -> None:
    error = refused(f'{{"a": {{"class_type": "A", "inputs": {{"x": {value}}}}}}}')
    assert (error.faults[0].node_id, error.faults[0].input) == ("a", "x")
    assert "half a character" in str(error)


def test_whole_characters_of_any_plane_are_taken() -> None:
    text = '{"a": {"class_type": "A", "inputs": {"x": "\\ud83e\\udd8a 日本 é"}}}'
    assert parse_workflow(text).nodes["a"].inputs == {"x": "🦊 日本 é"}


def test_a_number_of_too_many_digits_is_refused() -> None:
    error = refused('{"a": {"class_type": "A", "inputs": {"x": ' + "9" * 10_000 + "}}}")
    assert error.faults[0].code == "invalid_json"
    assert len(str(error)) < 300


@pytest.mark.parametrize("depth", [200, 900, 100_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_deep_nesting_is_refused(depth: int, brackets: str) -> None:
    opening = "[" if brackets == "[]" else '{"a":'
    text = '{"a": {"class_type": "A", "inputs": {"x": ' + opening * depth + "0" + brackets[1] * depth + "}}}"
    assert "nested too deeply" in str(refused(text))


@pytest.mark.parametrize("document", [[], [1, 2], "text", 5, None, True])
def test_a_document_that_is_not_an_object_is_not_a_workflow(document: Any) -> None:
    with pytest.raises(WorkflowError, match="a workflow is a JSON object of nodes") as error:
        workflow_from(document)
    assert code_of(error) == "not_a_workflow"


EDITOR = {
    "last_node_id": 1,
    "nodes": [{"id": 1, "type": "LoadPhoto", "inputs": [], "widgets_values": ["fox.png"], "title": "Photo"}],
    "links": [],
    "version": 0.4,
}


def load_photo() -> Registry:
    class Photo(Outputs):
        image: str

    class LoadPhoto(Node):
        """Loads a picture."""

        name: str
        size: int = 512

        def run(self, ctx: Context) -> Photo:
            raise NotImplementedError

    return Registry([LoadPhoto])


@pytest.mark.parametrize(
    "wrapped",
    [
        EDITOR,
        {"workflow": EDITOR},
        {"prompt": EDITOR},
        {"input": {"workflow": EDITOR}},
        {"extra_data": {"extra_pnginfo": {}}, "workflow": EDITOR},
    ],
    ids=["alone", "workflow", "prompt", "worker request", "with extras"],
)
def test_comfyuis_editor_format_is_converted(wrapped: dict[str, Any]) -> None:
    notes: list[str] = []
    [spec] = workflow_from(wrapped, notes.append, load_photo()).nodes.values()
    assert (spec.class_type, spec.title) == ("LoadPhoto", "Photo")
    assert spec.inputs == {"name": "fox.png", "size": 512}
    assert notes == ["written for another version of ComfyUI: filled in 1.size = 512"]


def test_of_both_formats_in_one_file_the_api_format_is_read() -> None:
    for key in ("output", "prompt"):
        assert workflow_from({"workflow": EDITOR, key: NODES}, pytest.fail) == workflow_from(NODES)


def test_nodes_with_the_names_of_wrappers_are_nodes() -> None:
    nodes = dict.fromkeys(("prompt", "output", "workflow", "input", "version", "number"), NODES["photo"])
    assert list(workflow_from(nodes).nodes) == list(nodes)


def test_what_clients_send_beside_the_nodes_is_no_node() -> None:
    beside = {"client_id": "x", "extra_data": {}, "version": 0.4, "number": 1}
    assert workflow_from({**NODES, **beside}) == workflow_from(NODES)


def test_a_file_tells_in_a_warning_what_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text(json.dumps(EDITOR))
    with pytest.warns(
        UserWarning, match=r"w\.json: written for another version of ComfyUI: filled in 1\.size"
    ):
        load_workflow(path, registry=load_photo())
    with pytest.warns(UserWarning, match="filled in"):
        parse_workflow(json.dumps(EDITOR), registry=load_photo())


def test_the_package_of_a_class_is_kept() -> None:
    meta = {"title": "Photo", "cnr_id": "some-pack", "ver": "1.0"}
    [spec] = workflow_from({"a": {**NODES["photo"], "_meta": meta}}).nodes.values()
    assert spec.pack == "some-pack"
    assert spec.to_json()["_meta"] == {"title": "Photo", "cnr_id": "some-pack"}
    properties = {"aux_id": "somebody/some-pack"}
    [spec] = workflow_from({"nodes": [{**EDITOR["nodes"][0], "properties": properties}]}, str).nodes.values()
    assert spec.pack == "somebody/some-pack"
    assert spec.to_json()["_meta"] == {"title": "Photo", "aux_id": "somebody/some-pack"}


@pytest.mark.parametrize("spec", [None, 5, "LoadImage", ["LoadImage"], True])
def test_a_node_that_is_not_an_object_is_named(spec: Any) -> None:
    with pytest.raises(WorkflowError, match="node 'odd'") as error:
        workflow_from({"fine": NODES["photo"], "odd": spec})
    assert code_of(error) == "not_a_node"


@pytest.mark.parametrize("inputs", [None, [], [["a", 0]], "x", 3])
def test_inputs_that_are_not_an_object_are_named(inputs: Any) -> None:
    with pytest.raises(WorkflowError, match=r"node 'odd'.*inputs is an object") as error:
        workflow_from({"odd": {"class_type": "A", "inputs": inputs}})
    assert code_of(error) == "not_a_node"


def test_all_malformed_nodes_are_reported_at_once() -> None:
    with pytest.raises(WorkflowError) as error:
        workflow_from({"a": 1, "b": {"class_type": "A", "inputs": 2}, "c": NODES["photo"]})
    assert [fault.node_id for fault in error.value.faults] == ["a", "b"]
    assert str(error.value).startswith("2 faults\n")


def test_a_node_without_inputs_or_class_is_left_to_validation() -> None:
    workflow = workflow_from({"a": {"class_type": "A"}, "b": {"inputs": {}}, "c": {"class_type": 5}})
    assert [spec.class_type for spec in workflow.nodes.values()] == ["A", "", ""]


def test_an_empty_object_is_an_empty_workflow() -> None:
    assert len(parse_workflow("{}")) == 0
