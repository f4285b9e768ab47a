"""``--cluster``, ``--workers`` and ``run-graph worker``: what they say when something is wrong."""

import json
import signal
import sys
from pathlib import Path

import pytest
from processes import started

from run_graph.runtime.cli.main import main

SMALL_RUN = ("--set", "sample.width=32", "--set", "sample.height=32", "--set", "sample.steps=2")


@pytest.mark.parametrize(
    "arguments",
    [["redux.json", "--workers", "2"], ["redux.json", "--cluster", "tcp://h:1"], ["worker", "tcp://h:1"]],
)
def test_without_the_extra_a_message_says_what_to_install(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "needs the optional package distributed" in said
    assert "uv sync --extra cluster" in said
    assert not Path("output").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["redux.json", "--cluster", "host"], "'host' is not an address, such as tcp://192.168.1.5:8786"),
        (["redux.json", "--workers", "0"], "'0' is not a number of processes, from 1 to 64"),
        (["redux.json", "--workers", "2", "--cluster", "tcp://h:1"], "leave it out with --cluster"),
        (["redux.json", "--any-device"], "give --cluster too"),
        (["serve", "--workers", "2", "--cluster", "tcp://h:1"], "leave it out with --cluster"),
        (["worker"], "ADDRESS"),
    ],
)
def test_wrong_options(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://there:1"])
def test_a_scheduler_that_is_not_there(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    from run_graph.runtime.cluster import link

    monkeypatch.setattr(link, "CONNECT", 0.5)
    assert main(["redux.json", "--quiet", "--cluster", address]) == 2
    said = capsys.readouterr().err
    assert address in said
    assert "scheduler" in said
    assert "Traceback" not in said


def test_a_run_in_processes_of_this_machine(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    assert main(["redux.json", *SMALL_RUN, "--workers", "1", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["status"] == "done"
    assert {event["component"] for event in events if event["event"] == "model_loaded"} >= {
        "vae",
        "transformer",
    }
    assert len(list(Path("output").glob("*.png"))) == 1


@pytest.mark.parametrize(
    ("number", "code", "how"), [(signal.SIGINT, 130, ""), (signal.SIGTERM, 143, " by SIGTERM")]
)
def test_a_worker_ends_in_a_line(tmp_path: Path, number: int, code: int, how: str) -> None:
    pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    process = started(tmp_path, "worker", "tcp://127.0.0.1:1", "--no-cache")
    assert process.stderr is not None
    first = process.stderr.readline()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    assert first == "run-graph worker: waiting for a scheduler at tcp://127.0.0.1:1\n"
    assert said == f"run-graph worker: interrupted{how}\n"
