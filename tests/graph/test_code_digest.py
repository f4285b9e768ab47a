"""Results of different code have different keys."""

import sys
from pathlib import Path

import pytest
from engine import ENVIRONMENT, workflow

from run_graph.graph import Registry
from run_graph.graph.code_digest import _digest, _sources, source_digest
from run_graph.graph.validation import check
from run_graph.runtime.engine.plan import make_plan

NODE = """
from run_graph.graph import Context, Node, Outputs

class Half(Outputs):
    value: float

class Halve(Node):
    value: float

    def run(self, ctx: Context) -> Half:
        from halves_beside import something
        return Half(value=self.value / 2)
"""


def key(folder: Path, package: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The key of a node of a package in that folder, computed in a new process."""
    monkeypatch.syspath_prepend(folder)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    _digest.cache_clear()
    halve = __import__(f"{package}.nodes", fromlist=["Halve"]).Halve
    registry = Registry([halve])
    return make_plan(check(workflow(h=(halve, {"value": 1.0})), registry, ["h"]), ENVIRONMENT).steps["h"].key


def package(folder: Path, helper: str, *, data: str = "", beside: str = "", deeper: str = "") -> Path:
    """A package that reads a data file and imports a module beside it, which imports another."""
    (folder / "halves").mkdir(parents=True)
    (folder / "halves" / "__init__.py").write_text("")
    (folder / "halves" / "nodes.py").write_text(NODE)
    (folder / "halves" / "helper.py").write_text(helper)
    (folder / "halves" / "factors.json").write_text(data)
    (folder / "halves_beside.py").write_text(f"import halves_deeper\n{beside}")
    (folder / "halves_deeper.py").write_text(deeper)
    return folder


def test_the_key_depends_on_every_file_of_the_package_but_not_on_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, copy = package(tmp_path / "1", "x = 1\n"), package(tmp_path / "2", "x = 1\n")
    changed = package(tmp_path / "3", "x = 2\n")
    keys = [key(folder, "halves", monkeypatch) for folder in (one, copy, changed)]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("place", ["data", "beside", "deeper"])
def test_the_key_depends_on_data_files_and_on_local_modules_that_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    one = package(tmp_path / "1", "x = 1\n", **{place: "y = 1\n"})
    copy = package(tmp_path / "2", "x = 1\n", **{place: "y = 1\n"})
    changed = package(tmp_path / "3", "x = 1\n", **{place: "y = 2\n"})
    keys = []
    for folder in (one, copy, changed):
        with monkeypatch.context() as context:
            keys.append(key(folder, "halves", context))
    assert keys[0] == keys[1] != keys[2]


def test_installed_packages_and_caches_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = package(tmp_path / "1", "import numpy, json, run_graph\n")
    (folder / "halves" / "__pycache__").mkdir()
    (folder / "halves" / "__pycache__" / "nodes.cpython-311.pyc").write_bytes(b"x")
    (folder / "halves" / ".git").mkdir()
    (folder / "halves" / ".git" / "index").write_bytes(b"x")
    monkeypatch.syspath_prepend(folder)
    names = [name for name, _ in _sources("halves")]
    assert names == [
        "halves/__init__.py",
        "halves/factors.json",
        "halves/helper.py",
        "halves/nodes.py",
        "halves_beside/halves_beside",
        "halves_deeper/halves_deeper",
    ]


def test_the_source_of_a_single_module_is_its_file() -> None:
    assert source_digest(__name__) == source_digest(__name__)
    assert (
        source_digest("run_graph.graph.node")
        == source_digest("run_graph.graph.links")
        != source_digest("run_graph.runtime.engine.plan")
    )


def test_symbolic_links_in_a_checkout_are_followed() -> None:
    names = {name for name, _ in _sources("run_graph.nodes")}
    assert {"__init__.py", "flux.py", "redux.py"} <= names


def test_code_without_a_file_has_a_digest_of_this_process_only() -> None:
    first = source_digest("typed_in_at_a_prompt")
    assert source_digest("typed_in_at_a_prompt") == first
    _digest.cache_clear()
    assert source_digest("typed_in_at_a_prompt") != first
