"""The examples in README.md and CONTRIBUTING.md work as they stand."""

import re
import shutil
import textwrap
from pathlib import Path
from typing import Any

import pytest

from run_graph.graph import Registry

ROOT = Path(__file__).parents[1]


def python_examples(document: str) -> dict[str, Any]:
    """What the Python examples of a document leave in their common namespace."""
    text = (ROOT / document).read_text(encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "example"}
    for example in re.finditer(r"^( *)```python\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        above = "\n" * (text.count("\n", 0, example.start(2)))  # so that a traceback has the document's lines
        exec(compile(above + textwrap.dedent(example[2]), document, "exec"), namespace)
    return namespace


def test_readme_example_draws_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "workflows" / "images", tmp_path / "workflows" / "images")
    monkeypatch.chdir(tmp_path)

    python_examples("README.md")

    assert [path.name for path in (tmp_path / "output").iterdir()] == ["redux_00001_.png"]


def test_the_examples_for_programs_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    python_examples("docs/python.md")

    printed = capsys.readouterr().out
    for line in ("flux_sample: step 4 of 4", "stopped", "unknown_input image Did you mean 'images'?"):
        assert line in printed
    assert re.search(r"^\d steps for decode_latent$", printed, re.MULTILINE)
    assert re.search(r"^[1-9]\d* results were known$", printed, re.MULTILINE)
    assert (tmp_path / "fox.png").is_file()


def test_node_of_the_contributing_guide_passes_its_test(tmp_path: Path) -> None:
    examples = python_examples("CONTRIBUTING.md")
    Registry([examples["Brighten"]])
    examples["test_brighten_adds_and_clips"](tmp_path)


def test_the_contributing_guide_lists_the_variables_that_tests_read() -> None:
    files = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    read = {name for text in files for name in re.findall(r'environ\.get\("(\w+)"', text)}
    listed = re.findall(r"^\| `(\w+)=", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(listed) == read - {"UV"}  # which uv sets for the processes that it starts
