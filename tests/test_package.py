"""The built package is complete, and works where the checkout is out of reach."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="the package is built with hatchling (dependency group dev)")

ROOT = Path(__file__).parents[1]
ROOMS = ("graph", "runtime", "nodes", "workflows")
NOT_PACKED = {"__pycache__", "make_images.py"}  # make_images.py painted two of the examples' pictures
# `uv run` gives its own path.
UV = os.environ.get("UV") or shutil.which("uv")

FACTS = """
import json, sys
import run_graph
from run_graph import Context, Field, Graph, Node, Outputs, run
from run_graph.graph.code_digest import source_digest
from run_graph.nodes import LoadImage
from run_graph.runtime.models.tiny import TINY_FOLDER

assert all(getattr(run_graph, name) for name in run_graph.__all__)
json.dump(
    {
        "file": run_graph.__file__,
        "version": run_graph.__version__,
        "tiny": str(TINY_FOLDER),
        "digests": [source_digest(f"run_graph.{room}") for room in ("graph", "runtime", "nodes")],
    },
    sys.stdout,
)
"""


def call(*command: str | Path, cwd: Path) -> str:
    """Run a command that must succeed, and return what it prints."""
    environment = {
        key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}
    }
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source: Path, target: Path, kind: str) -> Path:
    """Build a wheel or an sdist without the network."""
    call(sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", target, cwd=source)
    [built] = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("sdist"), "sdist")


def files_of_wheel(path: Path) -> dict[str, str]:
    """SHA-256 by name."""
    with zipfile.ZipFile(path) as archive:
        assert max(Counter(archive.namelist()).values()) == 1
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}


def files_of_checkout() -> dict[str, str]:
    """SHA-256 by the name that a file of the package has in a wheel."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in _package_files()
        if not NOT_PACKED & set(path.parts)
    }


def _package_files() -> Iterator[tuple[str, Path]]:
    for path in (ROOT / "run_graph").iterdir():
        if path.is_file():
            yield f"run_graph/{path.name}", path
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            if path.is_file():
                yield f"run_graph/{path.relative_to(ROOT).as_posix()}", path


@pytest.mark.parametrize("room", ROOMS)
def test_a_checkout_has_a_relative_link_to_each_room(room: str) -> None:
    assert (ROOT / "run_graph" / room).readlink() == Path("..") / room


def test_a_wheel_has_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    found = files_of_wheel(wheel)
    metadata = {name for name in found if name.partition("/")[0].endswith(".dist-info")}

    assert {name: digest for name, digest in found.items() if name not in metadata} == files_of_checkout()
    assert {Path(name).name for name in metadata} == {
        "METADATA",
        "WHEEL",
        "RECORD",
        "entry_points.txt",
        "LICENSE",
    }


def test_a_wheel_carries_types_weights_and_licences(wheel: Path) -> None:
    tiny = "run_graph/runtime/models/tiny"
    assert {
        "run_graph/py.typed",
        f"{tiny}/NOTICE",
        f"{tiny}/licenses/Apache-2.0.txt",
        f"{tiny}/licenses/MIT-fluentui-emoji.txt",
        f"{tiny}/checkpoint/manifest.json",
        f"{tiny}/checkpoint/transformer/diffusion_pytorch_model.safetensors",
        f"{tiny}/checkpoint/tokenizer/tokenizer.json",
        "run_graph/workflows/redux.json",
        "run_graph/workflows/images/fox.png",
    } <= files_of_wheel(wheel).keys()


def test_an_sdist_has_each_file_once_and_no_link(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    names = [member.name.partition("/")[2] for member in members]

    assert all(member.isfile() for member in members)
    assert sorted(names) == sorted(
        [*files_of_checkout(), ".gitignore", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"]
    )


def test_a_wheel_built_from_the_sdist_is_the_same(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(sdist, tmp_path)
    [source] = tmp_path.iterdir()

    assert files_of_wheel(build(source, tmp_path / "built", "wheel")) == files_of_wheel(wheel)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with run-graph from the wheel; its dependencies are those of this one."""
    if UV is None:
        pytest.skip("uv, which installs the wheel, is not on the PATH")
    folder = tmp_path_factory.mktemp("installed") / "venv"
    call(UV, "venv", "--quiet", "--offline", "--python", sys.executable, folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    call(
        UV,
        "pip",
        "install",
        "--quiet",
        "--offline",
        "--no-deps",
        "--python",
        python,
        wheel,
        cwd=folder.parent,
    )
    # Folders that a .pth file names are searched, but .pth files in them (the editable install) are not read.
    dependencies = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder: a workflow, its picture, and modules that have the names of run-graph's rooms."""
    shutil.copy(ROOT / "workflows" / "redux.json", tmp_path)
    (tmp_path / "images").mkdir()
    shutil.copy(ROOT / "workflows" / "images" / "fox.png", tmp_path / "images")
    (tmp_path / "nodes").mkdir()
    for name in ("graph.py", "runtime.py", "nodes/__init__.py"):
        (tmp_path / name).write_text(f"raise AssertionError('the user\\'s {name} was imported')\n")
    return tmp_path


def test_the_installed_package_brings_its_examples(environment: Path, tmp_path: Path) -> None:
    command = environment / "bin" / "run-graph"

    assert call(command, "--example", "redux", "here", cwd=tmp_path).split() == [
        "here/redux.json",
        "here/images/fox.png",
    ]
    call(command, "here/redux.json", "--validate", cwd=tmp_path)


def facts(python: str | Path, cwd: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(call(python, "-c", FACTS, cwd=cwd))
    return found


def test_the_installed_package_runs_the_main_job_beside_modules_of_the_same_names(
    environment: Path, folder: Path
) -> None:
    call(environment / "bin" / "run-graph", "redux.json", cwd=folder)

    assert [path.name for path in (folder / "output").iterdir()] == ["redux_00001_.png"]


def test_the_installed_package_is_imported_from_its_environment(environment: Path, folder: Path) -> None:
    found = facts(environment / "bin" / "python", folder)

    assert Path(str(found["file"])).is_relative_to(environment)
    assert Path(str(found["tiny"])).is_relative_to(environment)
    assert (Path(str(found["tiny"])) / "manifest.json").is_file()


def test_the_digest_of_the_sources_is_that_of_the_checkout(environment: Path, folder: Path) -> None:
    """So results are shared between a checkout and an installed package of the same sources."""
    installed, checkout = facts(environment / "bin" / "python", folder), facts(sys.executable, folder)

    assert installed["file"] != checkout["file"]
    assert installed["digests"] == checkout["digests"]


def test_all_ways_to_ask_for_the_version_agree(environment: Path, folder: Path, wheel: Path) -> None:
    programs = environment / "bin"
    version = wheel.name.split("-")[1]

    assert facts(programs / "python", folder)["version"] == version
    for command in (
        [programs / "run-graph"],
        [programs / "mflux-generate-redux-advanced"],
        [programs / "python", "-m", "run_graph"],
    ):
        assert call(*command, "--version", cwd=folder).split() == ["run-graph", version]


def test_the_version_of_a_checkout_that_was_never_installed_is_unknown(tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import run_graph; print(run_graph.__version__)"

    # -S leaves out site-packages, where the metadata of an installation is.
    assert call(sys.executable, "-S", "-c", code, cwd=tmp_path) == "unknown\n"
