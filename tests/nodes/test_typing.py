"""What a type checker says about graphs that are built in Python from the real nodes."""

import re
import sys
from pathlib import Path

import pytest

from run_graph.graph import Node
from run_graph.graph.declaration import inputs_of
from run_graph.nodes import NODES


def required(node_class: type[Node]) -> list[str]:
    return [name for name, spec in inputs_of(node_class).items() if spec.required]


CODE = """\
from run_graph import Graph, run
from run_graph.nodes import LoadImage, LoadRedux, ReduxEncode, SiglipEncode

g = Graph()
photo = g.add(LoadImage(image="fox.png"))
redux = g.add(LoadRedux(model="tiny"))
vision = g.add(SiglipEncode(siglip=redux.siglip, image=photo.image))
wrong = g.add(SiglipEncode(siglip=redux.siglip, image=photo.mask))
missing = g.add(SiglipEncode(siglip=redux.siglip))
swapped = g.add(ReduxEncode(redux=redux.siglip, vision=vision.vision))
absent = photo.latent
reveal_type(vision.vision)
reveal_type(run)
from run_graph.nodes import Context
from run_graph.nodes import Image
"""

# Every class with its required inputs only: defaults must be visible to the type checker, too.
SHORTEST = "\n".join(
    ["from typing import Any", "from run_graph import nodes", "x: Any = None"]
    + [
        f"nodes.{node_class.__name__}({', '.join(f'{name}=x' for name in required(node_class))})"
        for node_class in NODES
    ]
)

EXPECTED = [
    (8, "arg-type"),
    (9, "call-arg"),
    (10, "arg-type"),
    (11, "attr-defined"),
    # What the family modules import is not the package's, although it gathers them with `import *`.
    (14, "attr-defined"),
    (15, "attr-defined"),
]


# A graph's types do not depend on the libraries that the nodes compute with, which are large.
CONFIGURATION = """\
[mypy]
implicit_reexport = False
follow_imports = silent
ignore_missing_imports = True
[mypy-run_graph.runtime.models.*,mlx.*,mflux.*,numpy.*,PIL.*,networkx.*,rich.*,transformers.*]
follow_imports = skip
[mypy-run_graph.runtime.models.handles]
follow_imports = silent
"""


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    api = pytest.importorskip("mypy.api")
    folder = tmp_path_factory.mktemp("typing")
    (folder / "build.py").write_text(CODE)
    (folder / "mypy.ini").write_text(CONFIGURATION)
    (folder / "shortest.py").write_text(SHORTEST)
    root = Path(__file__).parents[2]
    arguments = [
        f"--config-file={folder / 'mypy.ini'}",
        f"--cache-dir={folder / 'cache'}",
        f"--python-executable={sys.executable}",
        str(folder / "build.py"),
        str(folder / "shortest.py"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPYPATH", str(root))
        output, _, _ = api.run(arguments)
    return [line for line in output.splitlines() if "build.py" in line or "shortest.py" in line]


@pytest.mark.parametrize(("line", "code"), EXPECTED)
def test_a_wrong_link_is_a_type_error(findings: list[str], line: int, code: str) -> None:
    [found] = [text for text in findings if f"build.py:{line}:" in text and ": error:" in text]
    assert found.endswith(f"[{code}]")


def test_a_right_graph_has_no_errors(findings: list[str]) -> None:
    errors = [text for text in findings if "build.py" in text and ": error:" in text]
    lines = {int(text.split("build.py:")[1].split(":")[0]) for text in errors}
    assert lines == {line for line, _ in EXPECTED}


def test_inputs_with_defaults_may_be_left_out(findings: list[str]) -> None:
    assert [text for text in findings if "shortest.py" in text] == []


def test_an_output_has_its_values_type(findings: list[str]) -> None:
    [note] = [text for text in findings if "build.py:12:" in text and "Revealed type" in text]
    assert "run_graph.runtime.values.Vision" in note


def test_names_of_the_package_itself_are_typed(findings: list[str]) -> None:
    """They are imported lazily; a type checker sees the imports under ``TYPE_CHECKING``."""
    [note] = [text for text in findings if "build.py:13:" in text and "Revealed type" in text]
    assert re.search(r'Revealed type is "def \(.*\) -> run_graph\.[\w.]+Result"', note), note
