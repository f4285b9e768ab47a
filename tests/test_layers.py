"""Dependencies point one way: graph <- runtime <- nodes; and what loads quickly stays quick."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"mlx", "mflux", "PIL", "torch", "transformers", "diffusers", "numpy"}
PACKAGES = ["graph", "runtime", "nodes"]


def modules(package: str) -> dict[str, Path]:
    """Dotted names of a package's modules and where they lie."""
    found = {}
    for path in (ROOT / package).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, *, everywhere: bool) -> Iterator[str]:
    """What a file imports: anywhere in it, or only when it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if everywhere else at_import_time(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def at_import_time(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes outside functions and outside ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from at_import_time(node)


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("graph", {"runtime", "nodes", "training", "mlx", "mflux", "PIL"}),
        ("runtime", {"nodes", "training"}),
        ("nodes", {"training"}),
    ],
)
def test_no_module_imports_upwards(package: str, forbidden: set[str]) -> None:
    offences = [
        f"{name} imports {target}"
        for name, path in modules(package).items()
        for target in imported(path, everywhere=True)
        if target.split(".")[0] in forbidden
    ]
    assert offences == []


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_do_not_import_each_other_in_a_circle(package: str) -> None:
    names = modules(package)
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, path in names.items():
        for target in imported(path, everywhere=False):
            while target and target not in names:
                target = target.rpartition(".")[0]
            if target and target != package:  # the package's own __init__ gathers the others
                graph.add_edge(name, target)
    assert sorted(nx.simple_cycles(graph)) == []


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running ``code``."""
    script = f"{code}\nimport sys\nprint('\\nLOADED', *{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_the_graph_layer_loads_no_model_code() -> None:
    loaded = loaded_by("import run_graph.graph")
    assert "pydantic" in loaded
    assert not loaded & (HEAVY | {"runtime", "nodes", "networkx"})


def test_the_engine_loads_no_model_code() -> None:
    assert not loaded_by("import run_graph.runtime.engine.session") & (HEAVY | {"nodes"})


QUIET = "import contextlib, io\nfrom run_graph.runtime.cli.main import main\n"


def test_the_command_lines_help_loads_no_model_code() -> None:
    code = (
        QUIET
        + "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main(['--help'])"
    )
    assert not loaded_by(code) & HEAVY


def test_validating_a_workflow_loads_no_model_code() -> None:
    workflow = sorted((ROOT / "workflows").glob("*.json"))[0]
    code = QUIET + (
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        f"    main(['--validate', {str(workflow)!r}])"
    )
    assert not loaded_by(code) & (HEAVY - {"PIL", "numpy"})
