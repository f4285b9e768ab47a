"""How long the command takes to answer, and how long for a whole picture."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks.report import Section, Table
from benchmarks.timing import Timing, alternate

WORKFLOW = Path(__file__).parent.parent / "workflows" / "redux.json"
BASE, LIBRARIES = "import pydantic, networkx", "import mlx.core, numpy, pydantic, networkx, PIL.Image"
CACHED, FRESH = "whole workflow, everything cached", "whole workflow, nothing cached"
ANSWER_GOAL, CACHED_GOAL, FRESH_GOAL = 2.5, 1.0, 2.5  # times BASE; seconds beyond --validate; times LIBRARIES

_TEXT = """\
Processor seconds of a whole process, which other programs hardly affect. *base*: `python -c "import pydantic,
networkx"`, which any program with typed, checked graphs imports. *libraries*: `python -c "import mlx.core,
numpy, pydantic, networkx, PIL.Image"`, which any program that computes pictures imports. *whole workflow*:
`run-graph workflows/redux.json` with one BLAS thread, from the prompt and the reference picture to the PNG
file; *cached*: after an earlier process ran it, so that it reads the picture and writes its file again. The
ratios are taken round by round.
"""


def measure(quick: bool) -> Section:
    """Time each command in its own process, with a cache of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "RUN_GRAPH_RESULTS": f"{folder}/results", "OPENBLAS_NUM_THREADS": "1"}
        run = partial(_run, Path(folder), environment)
        main = "from run_graph.runtime.cli.main import main; raise SystemExit(main())"
        contenders = {
            BASE: partial(run, BASE),
            LIBRARIES: partial(run, LIBRARIES),
            "--help": partial(run, main, "--help"),
            "--validate": partial(run, main, str(WORKFLOW), "--validate"),
            "--draw": partial(run, main, str(WORKFLOW), "--draw", "graph.svg"),
            CACHED: partial(run, main, str(WORKFLOW)),
            FRESH: partial(run, main, str(WORKFLOW), "--no-cache"),
        }
        timings = alternate(contenders, rounds=3 if quick else 9, clock=_processor_seconds_of_children)
    headings = ["command", "seconds", "÷ base", "÷ libraries"]
    packages = ["pydantic", "networkx", "mlx", "numpy", "pillow"]
    return Section("Start-up", _TEXT, [Table(headings, _rows(timings))], packages, _notes(timings))


def _run(folder: Path, environment: Mapping[str, str], code: str, *arguments: str) -> None:
    command = [sys.executable, "-c", code, *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


def _processor_seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _rows(timings: Mapping[str, Timing]) -> list[list[str]]:
    bases = timings[BASE], timings[LIBRARIES]
    return [
        [name, timing.shown(), *(f"{timing.ratio(base):.2f}" for base in bases)]
        for name, timing in timings.items()
    ]


def _notes(timings: Mapping[str, Timing]) -> list[str]:
    answers = ("--help", "--validate", "--draw")
    slowest = max(timings[name].ratio(timings[BASE]) for name in answers)
    beyond = timings[CACHED].median - timings["--validate"].median
    fresh = timings[FRESH].ratio(timings[LIBRARIES])
    return [
        f"The goal for the commands with an option is at most {ANSWER_GOAL} times the base: {slowest:.2f} at "
        f"most. For the cached run it is at most {CACHED_GOAL:.1f} s more than `--validate`: {beyond:.2f} s. "
        f"For the run with nothing cached it is at most {FRESH_GOAL} times the libraries: {fresh:.2f}."
    ]
