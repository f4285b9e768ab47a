"""What ends ``run-graph serve`` before it serves: one message, exit code 2."""

import importlib.util
import socket
from pathlib import Path
from typing import Any

import pytest

from run_graph.runtime.cli import serve_command
from run_graph.runtime.cli.main import main


def message(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    try:
        code = main(["serve", *options])
    except SystemExit as end:
        code = int(str(end.code))
    assert code == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_other_machines_are_let_in_only_with_a_token_or_on_purpose(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = message(capsys, "--listen", address)
    assert "--token" in text
    assert "--no-token" in text


def test_a_wrong_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'x' is not a port" in message(capsys, "--port", "x")
    assert "did you mean --no-frontend" in message(capsys, "--no-frontent")


def test_without_its_packages_it_says_how_to_get_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def absent(name: str, *rest: Any) -> Any:
        return None if name == "uvicorn" else find(name, *rest)

    monkeypatch.setattr(serve_command, "find_spec", absent)
    assert "uv run --extra serve run-graph serve" in message(capsys)


def test_a_taken_port_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("starlette", reason="the extra 'serve' is not installed")
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        text = message(capsys, "--port", port)
    assert f"cannot listen at 127.0.0.1 port {port}" in text
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_a_folder_of_models_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("starlette", reason="the extra 'serve' is not installed")
    assert "absent: there is no such folder" in message(capsys, "--models-dir", str(tmp_path / "absent"))
