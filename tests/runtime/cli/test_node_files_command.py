"""``--nodes FILE.py``: running, listing and validating with a file's classes, and results of its code."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from run_graph.runtime.cache.disk import LEAST_SECONDS
from run_graph.runtime.cli import main as cli

ROOT = Path(__file__).parents[3]

SLOW = f"""
import time

from run_graph import Context, Node, Outputs


class Made(Outputs):
    text: str


class Make(Node):
    def run(self, ctx: Context) -> Made:
        time.sleep({20 * LEAST_SECONDS})
        return Made(text="one")
"""


@pytest.fixture
def brighten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The node of CONTRIBUTING.md as a file, and a workflow with it, in the working directory."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (_, code), *_ = re.findall(r"^( *)```python\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    path = tmp_path / "brighten.py"
    path.write_text(textwrap.dedent(code), encoding="utf-8")
    shutil.copy(ROOT / "workflows" / "images" / "fox.png", tmp_path)
    nodes = {
        "photo": {"class_type": "LoadImage", "inputs": {"image": "fox.png"}},
        "brighter": {"class_type": "Brighten", "inputs": {"image": ["photo", "image"]}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["brighter", 0], "filename_prefix": "b"}},
    }
    (tmp_path / "graph.json").write_text(json.dumps(nodes), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return path


def test_a_workflow_and_its_picture_run_with_the_file(
    brighten: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["graph.json", "--nodes", "brighten.py"]) == 0
    [picture] = capsys.readouterr().out.split()
    assert cli.main([picture, "--nodes", "brighten.py", "--set", "amount=0.5"]) == 0
    assert capsys.readouterr().out == "output/b_00002_.png\n"


def test_questions_know_the_classes_of_the_file(brighten: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for question in (["graph.json", "--validate"], ["graph.json", "--inputs"], ["graph.json", "--draw", "-"]):
        assert cli.main([*question, "--nodes", str(brighten)]) == 0
    out = capsys.readouterr().out
    assert "graph.json: valid, 3 nodes lead to save\n" in out
    assert f"run node package {brighten} (brighter)\n" in out
    assert "brighter.amount" in out
    for question in (["--list-nodes"], ["--describe", "Brighten"], ["--schema"]):
        assert cli.main([*question, "--nodes", str(brighten)]) == 0
        assert "Brighten" in capsys.readouterr().out


def test_without_the_file_the_refusal_names_the_option(
    brighten: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["graph.json"]) == 2
    assert "there is no node class 'Brighten'" in (message := capsys.readouterr().err)
    assert "--nodes FILE.py adds those in a file." in message


def test_a_file_that_cannot_be_used_stops_the_command(
    brighten: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.py").write_text("import nosuchmodule")
    assert cli.main(["graph.json", "--nodes", "brighten.py", "--nodes", "broken.py", "--nodes", "no.py"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = captured.err.splitlines()
    assert "broken.py: line 1: ModuleNotFoundError" in first
    assert "no.py: there is no such file" in second


def test_changed_code_is_run_again_though_size_and_time_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "make.py"
    path.write_text(SLOW)
    (tmp_path / "graph.json").write_text('{"make": {"class_type": "Make"}}')

    def printed(*options: str) -> str:
        graph = ["graph.json", "--target", "make", "--nodes", "make.py"]
        command = [sys.executable, "-m", "run_graph", *graph, *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert printed() == "one\n"
    assert '"node_reused"' in printed("--json")
    before = path.stat()
    path.write_text(SLOW.replace("one", "two"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert printed() == "two\n"
    assert not (tmp_path / "__pycache__").exists()
