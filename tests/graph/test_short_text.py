"""Messages stay short, whatever they quote, and say how long it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from run_graph.graph import WorkflowError, load_workflow, validate
from run_graph.graph.registry import installed_nodes
from run_graph.graph.short_text import shortened
from run_graph.runtime.cli.main import main

LONG = {"word": "x" * 100_000, "text": "many words " * 100_000, "lines": "a\nb\n" * 100_000}
WORKFLOW = Path(__file__).parents[2] / "workflows" / "redux.json"


@pytest.mark.parametrize(
    "text",
    ["", "node 'save': a short message", "a file /" + "folder/" * 30 + "x.png is missing", "word " * 59],
)
def test_ordinary_messages_stay_as_they_are(text: str) -> None:
    assert shortened(text) == text


def test_long_pieces_are_cut_in_the_middle_and_the_rest_stays() -> None:
    text = f"there is no node 'A{'x' * 5000}B'. Did you mean \"C{'y z ' * 1000}D\"? See {'w' * 400}."
    short = shortened(text)
    assert len(short) < 700
    assert short.startswith("there is no node 'Axxx")
    assert "… (5,004 characters) …" in short
    assert "xxxB'. Did you mean \"Cy z" in short
    assert "… (4,004 characters) …" in short
    assert 'z D"? See www' in short


def test_a_text_of_short_pieces_is_cut_as_a_whole() -> None:
    short = shortened("word " * 100_000 + "the end")
    assert len(short) < 2000
    assert "(500,007 characters)" in short
    assert short.endswith("the end")


def broken(long: str) -> dict[str, dict[str, Any]]:
    """Workflows with the text as an id, a class, an input, a value, a link, a path and a key of the file."""
    given = json.loads(WORKFLOW.read_text(encoding="utf-8"))

    def changed(node: str, **inputs: Any) -> dict[str, Any]:
        return {**given, node: {**given[node], "inputs": {**given[node]["inputs"], **inputs}}}

    def saving(node: str) -> dict[str, Any]:
        return {"class_type": "SaveImage", "inputs": {"images": [node, 0]}}

    return {
        "id": {**given, long: {"class_type": "Nope", "inputs": {}}, "also": saving(long)},
        "class": {**given, "q": {"class_type": long, "inputs": {}}, "also": saving("q")},
        "input": changed("sample", **{long: 1}),
        "value": changed("sample", steps=long),
        "choice": changed("smaller", mode=long),
        "link": changed("sample", flux=[long, 0]),
        "slot": changed("sample", flux=["flux", long]),
        "picture": changed("photo", image=long),
        "model": changed("flux", model=long),
        "prefix": changed("save", filename_prefix=f"%{long}%"),
        "key": {**given, long: 3},
    }


@pytest.mark.parametrize("kind", broken(""))
@pytest.mark.parametrize("long", LONG)
def test_no_fault_is_long(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, long: str) -> None:
    path = tmp_path / "w.json"
    path.write_text(json.dumps(broken(LONG[long])[kind]), encoding="utf-8")
    try:
        faults = tuple(validate(load_workflow(path), installed_nodes()))
    except WorkflowError as error:
        faults = error.faults
    assert faults or kind in ("picture", "model", "prefix")  # which need to know the folders
    assert all(len(line) <= 2000 for fault in faults for line in str(fault).splitlines())
    assert main([str(path), "--validate"]) == 2
    assert len(capsys.readouterr().err) < 4500
    assert main([str(path), "--check"]) == 2
    assert all(len(line) <= 2000 for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("long", LONG)
def test_no_note_about_a_node_that_is_left_out_is_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], long: str
) -> None:
    nodes = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    stray = {"class_type": LONG[long], "inputs": {}, "_meta": {"cnr_id": LONG[long]}}
    path = tmp_path / "w.json"
    path.write_text(json.dumps({**nodes, LONG[long]: stray}), encoding="utf-8")
    for option in ("--validate", "--check"):
        main([str(path), option])
        assert all(len(line) <= 2000 for line in capsys.readouterr().out.splitlines())
