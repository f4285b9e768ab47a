"""``--offline`` and the command's download messages; each run is a separate process."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import COMMIT, Hub, serving
from small import make_project

# Runs the command while every connection attempt, in any library, is recorded and refused.
GUARDED = """
import socket, sys
attempts = []
def refuse(self, address):
    attempts.append(address)
    raise OSError("no network in this test")
socket.socket.connect = refuse
def unknown(host, *rest, **options):
    attempts.append(host)
    raise OSError("no name resolution in this test")
socket.getaddrinfo = unknown
from run_graph.runtime.cli.main import main
code = main(sys.argv[1:])
print("attempts", attempts)
sys.exit(code)
"""
COMMAND = "import sys; from run_graph.runtime.cli.main import main; sys.exit(main())"


@pytest.fixture(scope="module")
def server(small_model: str) -> Iterator[Hub]:
    with serving(Path(small_model)) as hub:
        yield hub


def run(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env={**outside, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", **environment},
    )


def cache_model(model: str, cache: Path) -> None:
    """Put a model into a Hugging Face cache as `org/name`."""
    repository = cache / "hub" / "models--org--name"
    shutil.copytree(model, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)


def test_a_cached_model_runs_without_a_single_connection(tmp_path: Path, small_model: str) -> None:
    cache_model(small_model, tmp_path / "cache")
    file = make_project(tmp_path, "org/name")
    result = run(GUARDED, str(file), "--output", str(tmp_path / "out"), HF_HOME=str(tmp_path / "cache"))
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "attempts []"
    assert len(list((tmp_path / "out").glob("*.png"))) == 1


def test_a_model_missing_offline_is_an_error_without_any_connection(tmp_path: Path, small_model: str) -> None:
    file = make_project(tmp_path, "org/name")
    result = run(GUARDED, str(file), "--offline", HF_HOME=str(tmp_path / "cache"))
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == "attempts []"
    assert "of org/name is not in the local Hugging Face cache" in result.stderr
    assert "--offline" in result.stderr


def test_each_part_of_a_download_is_reported(tmp_path: Path, small_model: str, server: Hub) -> None:
    file = make_project(tmp_path, "org/name")
    result = run(
        COMMAND,
        str(file),
        *("--output", str(tmp_path / "out"), "--target", "prompt"),
        HF_HOME=str(tmp_path / "cache"),
        HF_ENDPOINT=server.endpoint,
    )
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stderr.splitlines() if "downloading" in line]
    assert len(lines) == 2, "one line per component"
    for line in lines:
        assert line.startswith("run-graph: downloading ")
        assert " MB of org/name (" in line
        assert " free in " in line
