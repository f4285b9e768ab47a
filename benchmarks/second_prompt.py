"""What one more prompt costs in a session that has drawn a picture already."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from functools import partial
from itertools import count
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks.report import Section, Table
from benchmarks.timing import Timing, alternate
from run_graph.graph import Workflow, load_workflow
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.session import Session

WORKFLOWS = Path(__file__).parents[1] / "workflows"
GOAL = 0.2  # processor seconds

_TEXT = """\
Processor seconds of a run in a session that has run the same workflow with another prompt before, with one
BLAS thread: models are in memory, and what does not depend on the prompt is known. The run encodes the
prompt, samples, decodes, and writes the PNG file. *same prompt, other seed*: it samples, decodes and writes.
"""


def measure(quick: bool) -> Section:
    """Both shipped workflows of one picture."""
    rows, worst = [], 0.0
    for name in ("text_to_image", "redux"):
        timings = _timings(load_workflow(WORKFLOWS / f"{name}.json"), rounds=3 if quick else 15)
        rows.append([f"{name}.json", *(timing.shown() for timing in timings.values())])
        worst = max(worst, timings["other prompt"].median)
    table = Table(["workflow", "other prompt", "same prompt, other seed"], rows)
    note = f"The goal for another prompt is at most {GOAL} s: {worst:.2f} s at most."
    return Section("A second prompt", _TEXT, [table], ["mlx", "numpy", "tokenizers"], [note])


def _timings(workflow: Workflow, rounds: int) -> Mapping[str, Timing]:
    numbers = count(1)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1, user_api="blas"):
        session = Session()
        environment = RunEnvironment([WORKFLOWS], Path(folder))

        def run(node_id: str, name: str, values: str) -> None:
            changed = workflow.to_json()
            value = values.format(next(numbers))
            changed[node_id]["inputs"][name] = int(value) if value.isdigit() else value
            session.run(Workflow.from_json(changed), environment=environment)

        contenders = {
            "other prompt": partial(run, "prompt", "prompt", "a car, flat style, number {}"),
            "other seed": partial(run, "sample", "seed", "{}"),
        }
        return alternate(contenders, rounds, warm_up=2, clock=time.process_time)
