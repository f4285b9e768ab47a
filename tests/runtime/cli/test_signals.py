"""Ctrl-C, SIGTERM and SIGHUP: one line, the shell's exit code, the work kept; never a traceback."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import MFLUX, RUN_GRAPH, started

from run_graph.runtime.cli.signals import SIGNALS, Interruptible

SIGNALLED = [
    (signal.SIGINT, 130, ""),
    (signal.SIGTERM, 143, " by SIGTERM"),
    (signal.SIGHUP, 129, " by SIGHUP"),
]
LONG = ("--set", "sample.steps=9999")


def interrupt_while_sampling(
    process: "subprocess.Popen[str]", number: int, times: int = 1
) -> tuple[list[dict[str, object]], str]:
    """Send a signal when the third step is reported; the events, and what was said on standard error."""
    assert process.stdout is not None
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1].get("value", 0) >= 3:
            break
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.004)
    printed, said = process.communicate(timeout=30)
    return events + [json.loads(line) for line in printed.splitlines()], said


@pytest.mark.parametrize(("number", "code", "by"), SIGNALLED)
def test_a_run_says_how_to_go_on_and_goes_on_there(project: Path, number: int, code: int, by: str) -> None:
    process = started(project.parent, "redux.json", "--json", *LONG)
    events, said = interrupt_while_sampling(process, number)
    assert process.returncode == code
    assert [event["event"] for event in events[-2:]] == ["node_interrupted", "run_finished"]
    kept = events[-2]["value"]
    assert isinstance(kept, int)
    assert kept > 0
    assert said == f"run-graph: interrupted{by}; run it again to go on from step {kept} of 9999\n"

    again, _ = interrupt_while_sampling(
        started(project.parent, "redux.json", "--json", *LONG), signal.SIGTERM
    )
    [resumed] = [event for event in again if event["event"] == "node_resumed"]
    assert (resumed["node_id"], resumed["maximum"]) == ("sample", 9999)
    assert resumed["value"] in (kept, kept + 1)  # a state may be saved just when the signal comes


@pytest.mark.parametrize("times", [2, 3])
def test_more_than_one_ctrl_c_is_as_quiet_as_one(project: Path, times: int) -> None:
    process = started(project.parent, "redux.json", "--json", "--no-cache", *LONG)
    events, said = interrupt_while_sampling(process, signal.SIGINT, times)
    assert process.returncode == 130
    assert said == "run-graph: interrupted; run it again to start over: --no-cache keeps nothing\n"
    assert events[-1]["event"] == "run_finished"


@pytest.mark.parametrize(("name", "arguments"), [(RUN_GRAPH, ["redux.json"]), (MFLUX, ["--prompt", "a"])])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_moments_are_as_quiet(project: Path, name: str, arguments: list[str], number: int) -> None:
    program = "run-graph" if name == RUN_GRAPH else "mflux-generate-redux-advanced"
    in_time = 0
    for moment in (0.06, 0.1, 0.15, 0.25, 0.3):
        process = started(project.parent, *arguments, name=name)
        time.sleep(moment)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        assert "run_graph/" not in said, said
        if process.returncode == 128 + number:  # otherwise Python itself had not started
            in_time += 1
            assert said.startswith((f"{program}: interrupted", "run-graph: interrupted"))
            assert said.count("\n") == 1
    assert in_time


def test_a_signal_that_was_ignored_from_the_start_stays_ignored(project: Path) -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from run_graph.runtime.cli.start import run_graph; sys.exit(run_graph())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "redux.json", "--json", "--set", "sample.steps=40"],
        cwd=project.parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    events, _ = interrupt_while_sampling(process, signal.SIGHUP)
    assert (process.returncode, events[-1]["status"]) == (0, "done")


def test_an_interrupt_that_comes_out_as_another_error_is_an_interrupt() -> None:
    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise ImportError("numpy failed to import") from None

    stopped: list[bool] = []
    with pytest.raises(KeyboardInterrupt), Interruptible(lambda: stopped.append(True)):
        work()
    assert stopped == [True]
    assert (SIGNALS.how(), SIGNALS.exit_code()) == ("interrupted by SIGTERM", 143)


@pytest.fixture
def ctrl_c_is_heard() -> Iterator[None]:
    """Also where the tests run in the background, which shells start with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_is_heard")
def test_further_signals_are_ignored_at_first_and_the_handlers_come_back() -> None:
    def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Interruptible():
        work()
    assert signal.getsignal(signal.SIGINT) is before
    assert SIGNALS.exit_code() == 130


def test_errors_without_a_signal_stay_what_they_are() -> None:
    with pytest.raises(ValueError, match="mine"), Interruptible():
        raise ValueError("mine")


def test_another_thread_leaves_signals_alone() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with Interruptible():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_run_that_does_not_end_is_left_at_once_after_a_second(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from run_graph.runtime.cli.signals import SIGNALS, Interruptible\n"
        "SIGNALS.own_process()\n"
        "with Interruptible():\n"
        "    try: print(flush=True); time.sleep(60)\n"
        "    finally: time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    time.sleep(1.2)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (143, "run-graph: interrupted by SIGTERM\n")


def test_signals_are_handled_before_anything_else_is_imported() -> None:
    code = (
        "import sys; before = set(sys.modules); import run_graph.runtime.cli.start\n"
        "print(*(name for name in set(sys.modules) - before if name.partition('.')[0] == 'run_graph'))\n"
        "assert not {'typing', 'argparse', 'pathlib', 'importlib.metadata'} & (set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == [
        "run_graph",
        "run_graph.runtime",
        "run_graph.runtime.cli",
        "run_graph.runtime.cli.signals",
        "run_graph.runtime.cli.start",
    ]
