"""The reference, in the terminal and as Markdown."""

import subprocess
import sys
from pathlib import Path

from drawing_samples import REGISTRY, Choose, Encode, LoadImage, Save

from run_graph.graph import Registry, installed_nodes
from run_graph.graph.declaration import inputs_of, outputs_of
from run_graph.graph.reference import describe, list_nodes, markdown

ROOT = Path(__file__).parents[2]


def test_the_list_has_one_line_for_each_class_under_its_category() -> None:
    assert list_nodes(REGISTRY) == (
        "image\n  LoadImage  Read a picture from a file.\n  Save       Write tokens to a file.\n\n"
        "vision\n  Encode     Turn a picture into tokens.\n\n"
        "other\n  Choose     One of two."
    )
    assert list_nodes(Registry()) == ""


def test_a_description_has_the_whole_docstring_and_every_socket() -> None:
    text = describe(LoadImage)
    assert text.startswith(
        "LoadImage  (image)\n\nRead a picture from a file.\n\nIts orientation tag is applied.\n"
    )
    assert "  image  STRING  required\n      The file's name." in text
    assert "  0  image  IMAGE\n      The picture." in text
    assert "  1  mask   MASK\n" in text
    assert "output node" in describe(Save)


def test_a_description_states_defaults_ranges_and_options() -> None:
    lines = [" ".join(line.split()) for line in describe(Encode).splitlines()]
    assert "image IMAGE (link) required" in lines
    assert "mask MASK (link) optional" in lines
    assert 'mode COMBO "low" low | high' in lines
    assert "strength FLOAT 1.0 from 0 to 1" in lines
    assert "size INT 64 at least 16, a multiple of 16" in lines
    assert "factor FLOAT optional from 1 to 9" in lines
    assert "a REDUX_TOKENS (link, lazy) required" in [
        " ".join(x.split()) for x in describe(Choose).splitlines()
    ]


def test_descriptions_fit_a_terminal_of_a_hundred_columns() -> None:
    for node_class in installed_nodes().values():
        assert max(map(len, describe(node_class).splitlines())) <= 110, node_class


def test_markdown_has_a_section_for_each_class_and_a_row_for_each_socket() -> None:
    text = markdown(REGISTRY)
    rows = [line for line in text.splitlines() if line.startswith("| `") or line.startswith(("| 0", "| 1"))]
    sockets = sum(len(inputs_of(cls)) + len(outputs_of(cls)) for cls in REGISTRY.values())
    assert len(rows) == sockets
    for class_type in REGISTRY:
        assert f"\n### {class_type}\n" in text
    assert "| `strength` | FLOAT | `1.0` | from 0 to 1 | How much. |" in text


def test_bars_do_not_break_a_markdown_table() -> None:
    line = next(line for line in markdown(REGISTRY).splitlines() if line.startswith("| `mode`"))
    assert line == '| `mode` | COMBO | `"low"` | low \\| high | How many: low \\| high. |'


def test_every_installed_node_is_fully_described() -> None:
    for class_type, node_class in installed_nodes().items():
        assert node_class.__doc__, class_type
        for spec in inputs_of(node_class).values():
            assert spec.description, f"{class_type}.{spec.name}"


def test_the_module_prints_the_markdown_of_the_installed_nodes() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "run_graph.graph.reference"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    assert printed.stdout == markdown(installed_nodes())
    assert not printed.stderr


def test_the_checked_in_reference_is_up_to_date() -> None:
    kept = (ROOT / "docs" / "nodes.md").read_text(encoding="utf-8")
    assert kept == markdown(installed_nodes()), (
        "run: uv run python -m run_graph.graph.reference > docs/nodes.md"
    )
