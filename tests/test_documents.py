"""The examples in README.md and CONTRIBUTING.md work as they stand."""

import re
import shutil
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from run_graph.graph import Registry
from run_graph.runtime.values import Image

ROOT = Path(__file__).parents[1]


def python_example(document: str) -> dict[str, Any]:
    """What the one Python example of a document leaves in its namespace."""
    text = (ROOT / document).read_text(encoding="utf-8")
    [(_, code)] = re.findall(r"^( *)```python\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(textwrap.dedent(code), namespace)
    return namespace


def test_readme_example_draws_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "workflows" / "images", tmp_path / "workflows" / "images")
    monkeypatch.chdir(tmp_path)

    python_example("README.md")

    assert [path.name for path in (tmp_path / "output").iterdir()] == ["redux_00001_.png"]


def test_node_of_the_contributing_guide_runs() -> None:
    brighten = python_example("CONTRIBUTING.md")["Brighten"]
    Registry([brighten])
    node = brighten(image=Image(np.full((1, 2, 2, 3), 0.95, np.float32)), amount=0.1)

    assert (node.run(None).image.pixels == 1).all()
