"""An MLX that cannot be imported ends in one line with the fix, wherever it is first needed."""

import subprocess
import sys
from pathlib import Path

import pytest

from run_graph.runtime.cli.terminal import NODE_FAILED
from run_graph.runtime.mlx_backend import diagnosis, mlx_fault

ROOT = Path(__file__).parents[2]

LIBCUDA = "libcuda.so.1: cannot open shared object file: No such file or directory"
LIBMLX = "libmlx.so: cannot open shared object file: No such file or directory"
SYMBOL = "mlx/core.cpython-311-x86_64-linux-gnu.so: undefined symbol: _ZN3mlx4core"


@pytest.mark.parametrize(
    ("error", "installed", "system", "says", "runs"),
    [
        (LIBMLX, {}, "Linux", "mlx is not installed", None),
        (LIBMLX, {"mlx": "0.32.4"}, "Linux", "mlx 0.32.4 has no backend", "mlx==0.32.4 mlx-cpu==0.32.4"),
        (LIBMLX, {"mlx": "0.32.4"}, "Darwin", "has no backend", "mlx==0.32.4 mlx-metal==0.32.4"),
        (
            SYMBOL,
            {"mlx": "0.32.2", "mlx-cpu": "0.32.4"},
            "Linux",
            "mlx 0.32.2 and mlx-cpu 0.32.4 must have the same version",
            "mlx==0.32.2 mlx-cpu==0.32.2",
        ),
        (
            LIBCUDA,
            {"mlx": "0.32.2", "mlx-cuda-13": "0.32.2"},
            "Linux",
            "mlx-cuda-13 needs an NVIDIA driver, which this machine lacks (libcuda.so.1)",
            "mlx==0.32.2 mlx-cpu==0.32.2",
        ),
        (
            LIBCUDA,
            {"mlx": "0.32.2", "mlx-cpu": "0.32.2", "mlx-cuda-13": "0.32.2"},
            "Linux",
            "mlx-cpu and mlx-cuda-13 are both installed",
            "mlx==0.32.2 mlx-cpu==0.32.2",
        ),
        (
            SYMBOL,
            {"mlx": "0.32.2", "mlx-cpu": "0.32.2", "mlx-cuda-12": "0.32.2"},
            "Linux",
            "both installed",
            "mlx==0.32.2 mlx-cuda-12==0.32.2",
        ),
        (
            LIBMLX,
            {"mlx": "0.32.4", "mlx-cpu": "0.32.4"},
            "Linux",
            "its files are damaged, or another backend's (libmlx.so",
            "mlx==0.32.4 mlx-cpu==0.32.4",
        ),
    ],
)
def test_the_fault_of_the_packages_and_its_fix(
    error: str, installed: dict[str, str], system: str, says: str, runs: str | None
) -> None:
    text = diagnosis(error, installed, system)
    assert says in text
    assert (runs is None) or runs in text
    assert "\n" not in text


def test_a_backend_that_is_in_the_way_is_removed_first() -> None:
    text = diagnosis(LIBCUDA, {"mlx": "0.32.2", "mlx-cpu": "0.32.2", "mlx-cuda-13": "0.32.2"}, "Linux")
    assert text.index("uninstall") < text.index("mlx-cuda-13 &&") < text.index("install --")


def test_a_long_message_of_the_linker_is_cut() -> None:
    assert len(diagnosis("x" * 5000, {"mlx": "1", "mlx-cpu": "1"}, "Linux")) < 500


def test_here_there_is_no_fault() -> None:
    assert mlx_fault() is None


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder with an MLX that cannot be imported."""
    package = tmp_path / "broken" / "mlx"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "core.py").write_text(f"raise ImportError({LIBCUDA!r})")
    return package.parent


def run(broken: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code with the working directory of the test and the broken MLX in front of the real one."""
    script = f"import sys; sys.path[:0] = [{str(broken)!r}, {str(ROOT)!r}]\n{code}"
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=broken.parent, timeout=120
    )


COMMANDS = {
    "run-graph": ("cli.main", [str(ROOT / "workflows" / "text_to_image.json")]),
    "run-graph, no cache": ("cli.main", [str(ROOT / "workflows" / "text_to_image.json"), "--no-cache"]),
    "mflux": (
        "cli.mflux.main",
        ["--prompt", "x", "--model", "tiny", "--redux-image-paths", str(ROOT / "workflows/images/fox.png")],
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_say_so_in_one_line(broken: Path, name: str) -> None:
    module, arguments = COMMANDS[name]
    done = run(broken, f"from run_graph.runtime.{module} import main; sys.exit(main({arguments!r}))")
    assert done.returncode == NODE_FAILED
    [line] = [line for line in done.stderr.splitlines() if "MLX cannot be loaded" in line]
    assert "libcuda.so.1" in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("cache", "error"), [(True, "BackendError"), (False, "NodeFailed")])
def test_python_says_so_too(broken: Path, cache: bool, error: str) -> None:
    done = run(
        broken,
        "from run_graph import Graph\n"
        "from run_graph.nodes import LoadFlux, TextEncode\n"
        "g = Graph()\n"
        "prompt = g.add(TextEncode(text_encoders=g.add(LoadFlux()).text_encoders, prompt='a fox'))\n"
        f"g.run(prompt, cache={cache})\n",
    )
    last = done.stderr.rstrip().splitlines()[-1]
    assert error in last
    assert "MLX cannot be loaded: " in last
    assert "Run: " in last


def test_what_needs_no_mlx_works_without_it(broken: Path) -> None:
    file = ROOT / "workflows" / "redux.json"
    done = run(
        broken, f"from run_graph.runtime.cli.main import main; sys.exit(main(['--validate', {str(file)!r}]))"
    )
    assert (done.returncode, "valid" in done.stdout) == (0, True)
