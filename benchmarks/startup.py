"""How long the command takes to answer."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks.report import Section, Table
from benchmarks.timing import Timing, alternate

WORKFLOW = Path(__file__).parent.parent / "workflows" / "redux.json"
BASE, CACHED = "import pydantic, networkx", "whole workflow, everything cached"
ANSWER_GOAL, CACHED_GOAL = 2.5, 1.0  # times the base; seconds beyond --validate

_TEXT = """\
Seconds for a whole process. *base*: `python -c "import pydantic, networkx"`, which any program with typed,
checked graphs imports. *everything cached*: `run-graph workflows/redux.json` after an earlier process ran it;
it reads the picture and writes its file again.
"""


def measure(quick: bool) -> Section:
    """Time each command in its own process, with a cache of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "RUN_GRAPH_RESULTS": f"{folder}/results"}
        run = partial(_run, Path(folder), environment)
        main = "from run_graph.runtime.cli.main import main; raise SystemExit(main())"
        contenders = {
            BASE: partial(run, BASE),
            "--help": partial(run, main, "--help"),
            "--validate": partial(run, main, str(WORKFLOW), "--validate"),
            "--draw": partial(run, main, str(WORKFLOW), "--draw", "graph.svg"),
            CACHED: partial(run, main, str(WORKFLOW)),
        }
        timings = alternate(contenders, rounds=3 if quick else 15)
    rows = [[name, timing.shown(), f"{timing.ratio(timings[BASE]):.2f}"] for name, timing in timings.items()]
    headings = ["command", "seconds", "÷ base"]
    packages = ["pydantic", "networkx"]
    return Section("Start-up", _TEXT, [Table(headings, rows)], packages, _notes(timings))


def _run(folder: Path, environment: Mapping[str, str], code: str, *arguments: str) -> None:
    command = [sys.executable, "-c", code, *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)


def _notes(timings: Mapping[str, Timing]) -> list[str]:
    answers = ("--help", "--validate", "--draw")
    slowest = max(timings[name].ratio(timings[BASE]) for name in answers)
    beyond = timings[CACHED].median - timings["--validate"].median
    return [
        f"The goal for the first three is at most {ANSWER_GOAL} times the base: {slowest:.2f} at most. "
        f"For the cached run it is at most {CACHED_GOAL:.1f} s more than `--validate`: {beyond:.2f} s."
    ]
