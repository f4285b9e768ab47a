"""Node classes from single Python files: guarded as those of installed packages are."""

from pathlib import Path

import pytest
from sample_nodes import REGISTRY

from run_graph.graph import WorkflowError
from run_graph.graph.faults import WorkflowErrors
from run_graph.graph.node_files import with_node_files

NODE = """
from __future__ import annotations

from run_graph import Context, Field, Node, Outputs


class Greeting(Outputs):
    text: str


class {name}(Node):
    name: str = Field(description="Who.")

    def run(self, ctx: Context) -> Greeting:
        return Greeting(text=f"hello {{self.name}}")
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_s_classes_are_added_to_a_new_registry(tmp_path: Path) -> None:
    registry = with_node_files(REGISTRY, [write(tmp_path, "greet_added.py", NODE.format(name="Greet"))])
    assert list(registry) == [*REGISTRY, "Greet"]
    assert registry["Greet"](name="you").run(None).text == "hello you"
    assert registry.problems == []
    assert "Greet" not in REGISTRY


def test_a_list_of_nodes_says_which_classes_count(tmp_path: Path) -> None:
    text = NODE.format(name="Base") + "\nclass Derived(Base):\n    pass\n\nNODES = [Derived]\n"
    registry = with_node_files(REGISTRY, [write(tmp_path, "greet_listed.py", text)])
    assert set(registry) - set(REGISTRY) == {"Derived"}


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path: Path) -> None:
    files = []
    for name in ("First", "Second"):
        (tmp_path / name).mkdir()
        files.append(write(tmp_path / name, "greet_twice.py", NODE.format(name=name)))
    registry = with_node_files(REGISTRY, [*files, files[0]])
    assert set(registry) - set(REGISTRY) == {"First", "Second"}
    assert with_node_files(REGISTRY, files)["First"] is registry["First"]  # each file runs once


def test_a_module_of_the_same_name_is_not_replaced(tmp_path: Path) -> None:
    import json

    registry = with_node_files(REGISTRY, [write(tmp_path, "json.py", NODE.format(name="Jason"))])
    assert "Jason" in registry
    assert __import__("json") is json


def test_what_a_file_prints_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = NODE.format(name="Loud") + "\nprint('welcome')\n"
    registry = with_node_files(REGISTRY, [write(tmp_path, "greet_loud.py", text)])
    [problem] = registry.problems
    assert problem.endswith('greet_loud.py prints when it is loaded: "welcome"')
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nosuchmodule", "line 1: ModuleNotFoundError: No module named 'nosuchmodule'."),
        ("\nclass Broken(\n", "line 2: SyntaxError: "),
        ("import sys\nsys.exit(0)", "line 2: SystemExit: 0."),
        ("import asyncio\nraise asyncio.CancelledError", "line 2: CancelledError."),
        ("x = 1", "the file defines no node class. Derive a class from run_graph.Node in it."),
        ("NODES = [3]", "AttributeError: "),
        ("from run_graph import Node\nclass Odd(Node):\n    pass", "Odd.run must be annotated"),
        (NODE.format(name="Blur"), "two node classes are called 'Blur': sample_nodes.Blur and "),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, "broken.py", text)
    with pytest.raises(WorkflowError) as caught:
        with_node_files(REGISTRY, [path])
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_all_files_that_cannot_be_used_are_reported(tmp_path: Path) -> None:
    with pytest.raises(WorkflowErrors) as caught:
        with_node_files(REGISTRY, [tmp_path / "nowhere.py", tmp_path])
    assert [error.faults[0].code for error in caught.value.errors] == ["file_not_found"] * 2


def test_ctrl_c_is_not_the_file_s_failure(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        with_node_files(REGISTRY, [write(tmp_path, "greet_stopped.py", "raise KeyboardInterrupt")])
