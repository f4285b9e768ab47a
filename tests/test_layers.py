"""Dependencies point one way, between layers and between the rooms of runtime/; quick things load quickly."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"mlx", "mflux", "PIL", "torch", "transformers", "diffusers", "numpy"}
PACKAGES = ("graph", "runtime", "nodes")

# Each room may import those in the rows above it, and none in its own row. "vocabulary" is what is
# loose in runtime/: the words that all rooms speak.
ROWS = [
    {"graph"},
    {"vocabulary"},
    {"cache", "files", "images"},
    {"networks"},
    {"sampling", "models"},
    {"engine"},
    {"formats", "sweep", "testing", "cluster"},
    {"contact_sheet", "doctor", "remote"},
    {"server"},
    {"cli"},
    {"nodes"},
    {"training", "benchmarks"},
]
# The exceptions within a row: the cache writes its files as all files are written.
WITHIN_A_ROW = {("cache", "files")}
VOCABULARY = {
    "__init__",
    "arithmetic",
    "array_value",
    "conditioning",
    "current_run",
    "device",
    "errors",
    "events",
    "generation",
    "handing_out",
    "mlx_backend",
    "units",
    "values",
    "versions",
}


def modules() -> dict[str, Path]:
    """Dotted names of the product's modules and where they are."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(("run_graph", *(parts[:-1] if parts[-1] == "__init__" else parts)))] = path
    return found


def room(module: str) -> str:
    """The room of a module; "" for what is not the product's."""
    top, *inner = module.split(".")
    if top in {"training", "benchmarks"}:
        return top
    if top in PACKAGES:
        return f"{top} without run_graph"
    if top != "run_graph":
        return ""
    if inner[0] != "runtime":
        return inner[0]
    is_folder = len(inner) > 1 and (ROOT / "runtime" / inner[1]).is_dir()
    return inner[1] if is_folder else "vocabulary"


def row(name: str) -> int:
    return next(number for number, rooms in enumerate(ROWS) if name in rooms)


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


def arrows() -> Iterator[tuple[str, str, str]]:
    """Each import from one room into another: the importing module and both rooms."""
    for name, path in modules().items():
        for target in imported(path, everywhere=True):
            source, sink = room(name), room(target)
            if sink and sink != source:
                yield name, source, sink


def test_every_file_is_in_a_known_room() -> None:
    rooms = {room(name) for name in modules()}
    assert rooms == set().union(*ROWS) - {"training", "benchmarks"}
    assert {path.stem for path in (ROOT / "runtime").glob("*.py")} == VOCABULARY


def test_imports_run_down_the_rows_only() -> None:
    offences = [
        f"{name} ({source}) imports {sink}"
        for name, source, sink in arrows()
        if sink not in set().union(*ROWS) or (row(sink) >= row(source) and (source, sink) not in WITHIN_A_ROW)
    ]
    assert offences == []


def test_rooms_do_not_import_each_other_in_a_circle() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph((source, sink) for _, source, sink in arrows())
    assert {"graph", "engine", "cli"} <= set(graph)
    assert sorted(nx.simple_cycles(graph)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_do_not_import_each_other_in_a_circle(package: str) -> None:
    names = {name: path for name, path in modules().items() if name.split(".")[1] == package}
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, path in names.items():
        for target in imported(path, everywhere=False):
            while target and target not in names:
                target = target.rpartition(".")[0]
            if target and target != f"run_graph.{package}":  # the package's own __init__ gathers the others
                graph.add_edge(name, target)
    assert len(graph) > 5
    assert sorted(nx.simple_cycles(graph)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_bare_import_of_a_folder_is_refused(package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {package}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"import run_graph.{package} instead of {package}" in done.stderr


def loaded_by(code: str) -> set[str]:
    """What a fresh interpreter has loaded after running ``code``: top-level packages, and our layers."""
    script = f"{code}\nimport sys\nprint('\\nLOADED', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = done.stdout.rpartition("LOADED")[2].split()
    return {".".join(name.split(".")[: 2 if name.startswith("run_graph.") else 1]) for name in names}


def test_the_graph_layer_loads_no_model_code() -> None:
    loaded = loaded_by("import run_graph.graph")
    assert {"pydantic", "run_graph.graph"} <= loaded
    assert not loaded & (HEAVY | {"run_graph.runtime", "run_graph.nodes", "networkx"})


def test_the_engine_loads_no_model_code() -> None:
    loaded = loaded_by("import run_graph.runtime.engine.session")
    assert "run_graph.runtime" in loaded
    assert not loaded & (HEAVY | {"run_graph.nodes"})


def test_the_package_itself_loads_nothing() -> None:
    assert not loaded_by("import run_graph") & (HEAVY | {"pydantic", "run_graph.graph", "run_graph.runtime"})


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


# What a run needs only for the Hub, for LoRAs or for TranslatePrompt; mflux alone doubles the time of a run.
SLOW = {"mflux", "transformers", "huggingface_hub", "httpx", "mlx_lm"}


@pytest.mark.parametrize("workflow", ["redux", "text_to_image"])
def test_running_a_workflow_with_models_on_this_machine_loads_only_what_computes(
    workflow: str, tmp_path: Path
) -> None:
    arguments = [str(ROOT / "workflows" / f"{workflow}.json"), "--output", str(tmp_path / "out")]
    arguments += ["--cache-dir", str(tmp_path / "cache")]
    for size in ("width=32", "height=32", "steps=1"):
        arguments += ["--set", f"sample.{size}"]
    code = QUIET + (
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        f"    main({arguments!r})"
    )
    loaded = loaded_by(code)
    assert {"mlx", "numpy", "tokenizers"} <= loaded, "it has run"
    assert not loaded & SLOW
    assert list((tmp_path / "out").glob("*.png"))
