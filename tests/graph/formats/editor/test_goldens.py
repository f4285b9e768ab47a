"""Conversions equal to those of ComfyUI's front end 1.58.1, which made all ``*.api.json`` and ``cases.json``.

``data/corpus`` has files of users (sources and licences in its README), ``data/cases.json`` small ones that
were written for these tests: one for each rule.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from editor_samples import DATA, SCHEMAS

from run_graph.graph.formats.editor.conversion import convert

CASES = json.loads((DATA / "cases.json").read_text(encoding="utf-8"))
CORPUS = sorted(path for path in (DATA / "corpus").glob("*.json") if not path.name.endswith(".api.json"))


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def plain(nodes: Mapping[str, Any]) -> dict[str, Any]:
    """Classes and inputs. Where the front end did not know a class, it wrote none."""
    return {
        node_id: {"class_type": spec.get("class_type"), "inputs": spec["inputs"]}
        for node_id, spec in nodes.items()
    }


def only_links(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in spec["inputs"].items() if isinstance(value, list)}


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_files_of_users(path: Path) -> None:
    expected = plain(read(path.with_suffix(".api.json")))
    found = plain(convert(read(path), SCHEMAS).nodes)
    assert found.keys() == expected.keys() != set()
    for node_id, spec in expected.items():
        if spec["class_type"] is None:
            assert SCHEMAS.inputs(found[node_id]["class_type"]) is None
            assert only_links(found[node_id]) == only_links(spec)
        else:
            assert found[node_id] == spec


def test_there_are_the_goldens_that_were_made() -> None:
    assert len(CORPUS) == 8
    assert len(CASES) > 80


@pytest.mark.parametrize("name", CASES)
def test_a_rule(name: str) -> None:
    assert plain(convert(CASES[name]["file"], SCHEMAS).nodes) == CASES[name]["api"]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_titles_are_those_of_the_file(path: Path) -> None:
    written = {str(node["id"]): node.get("title") for node in read(path)["nodes"]}
    for node_id, spec in convert(read(path), SCHEMAS).nodes.items():
        if ":" not in node_id:
            assert spec.get("_meta", {}).get("title") == written[node_id]
