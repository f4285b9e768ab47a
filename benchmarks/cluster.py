"""Runs on a cluster: what a task costs beside dask's own, how a sweep speeds up, and where the limits are."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cluster_model import GB, MB, Costs, Kind, Outcome, Simulation
from benchmarks.cluster_nodes import REGISTRY
from benchmarks.report import Section, Table
from benchmarks.small import make_small_model
from benchmarks.timing import Timing, alternate
from run_graph.graph import Workflow, load_workflow
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.executor import Executor
from run_graph.runtime.engine.job import Job
from run_graph.runtime.engine.protocol import ExecutorFactory
from run_graph.runtime.engine.session import Session

WORKFLOWS = Path(__file__).parent.parent / "workflows"
TASKS, QUICK_TASKS = 300, 40
PICTURES, SIDE, STEPS = 40, 128, 8
WORKERS, ROUNDS = (1, 2, 4), 3
MACHINES = (1, 2, 10, 50, 100, 200)
SIMULATED = 10_000  # pictures

# Published sizes of FLUX.1's bfloat16 files (runtime/models/sizes.py).
SIZES = {"transformer": 23.8 * GB, "t5": 9.52 * GB, "clip": 0.25 * GB, "vae": 0.17 * GB}
# mflux's README lists 20 s on an M3 Max for two steps of 1024 x 1024 with schnell, from the start of the
# program: reading 34 GB, encoding the prompt, and decoding included. 6 s a step leave 8 s for those.
STEP, ENCODE, DECODE = 6.0, 2.0, 2.0

_TEXT = """\
**A task** is sent to one worker on this machine and comes back, 300 of them, which do nothing. dask's own are
`client.submit` of a function that returns its argument. Seconds of the processor are those of the client's
process, in which the scheduler runs too. *1 MB for 4 MB* is a sampling step without the sampling: a
conditioning of FLUX's size goes there and a latent of 1024 x 1024 pixels comes back.

**The sweep** is `workflows/redux.json` with 40 seeds and 8 steps of 128 x 128 pixels on a small model, one
BLAS thread in each process, workers started and models loaded before; all take turns, and speed-ups are taken
round by round. This machine has 2 cores, which other programs used too: only the ratios say something, and 4
workers share what 2 have.

**The simulation** runs the real placement policy against modelled machines: 10,000 pictures of 1024 x 1024, a
sampling step of 6 s (mflux's README: 20 s on an M3 Max for 2 steps with schnell, from the start of the
program), 2 s for encoding a prompt and for decoding, weights read at 3 GB/s, 1 GB/s between the client and
all workers together. What the client and the scheduler take for each task, and what writing a PNG takes, is
what was measured above. *64 GB* has room for all models, *28 GB* not for T5 beside the transformer. *Loads*
are those of the transformer and of T5, on all machines; *most* is how often one machine read one component.
*Idle* is how long a worker waits between two steps.
"""


class _Cost(NamedTuple):
    """Seconds a task: elapsed, and of the client's processor."""

    elapsed: float
    processor: float


def measure(quick: bool) -> Section:
    """Measure all three; start worker processes for the first two."""
    from run_graph.runtime.cluster.local import LocalCluster
    from run_graph.runtime.cluster.start import on_cluster, silence_dask

    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    silence_dask()
    tasks = QUICK_TASKS if quick else TASKS
    with LocalCluster(1, memory_limit=4 * GB) as cluster:
        executor = on_cluster(cluster.address)
        own = _ours(executor, _nothing(tasks), tasks)
        heavy = _ours(executor, _samples(tasks), tasks)
        dask = _dasks(cluster.address, tasks)
    saving = _saving()
    sweep = _sweep(2, WORKERS[:1], 1) if quick else _sweep(PICTURES, WORKERS, ROUNDS)
    costs = Costs(
        dispatch=max(heavy.processor - dask.processor, 0.0) / 2,
        result=max(heavy.processor - dask.processor, 0.0) / 2,
        scheduler=dask.processor,
        save=saving,
    )
    simulated = _simulated(costs, 200 if quick else SIMULATED, (2,) if quick else MACHINES)
    return Section(
        "On a cluster",
        _TEXT,
        [_task_table(own, heavy, dask, saving), _sweep_table(sweep), _simulation_table(simulated)],
        ["distributed", "mlx"],
        _notes(simulated),
    )


def _ours(executor: ExecutorFactory, workflow: Workflow, tasks: int) -> _Cost:
    session = Session(REGISTRY, NoCache(), executor=executor)
    targets = [name for name in workflow.nodes if name.startswith("n")]
    environment = RunEnvironment([Path()], Path("output"))
    session.run(workflow, targets=targets[:5], environment=environment)  # connects, imports
    return _timed(lambda: session.run(workflow, targets=targets, environment=environment), tasks)


def _dasks(address: str, tasks: int) -> _Cost:
    from distributed import Client

    with Client(address, set_as_default=False) as client:

        def run() -> list[Any]:
            futures = [client.submit(_same, number, pure=False) for number in range(tasks)]
            return list(client.gather(futures))

        run()
        return _timed(run, tasks)


def _same(value: int) -> int:
    return value


def _timed(work: Callable[[], object], tasks: int) -> _Cost:
    started, processor = time.perf_counter(), time.process_time()
    work()
    return _Cost((time.perf_counter() - started) / tasks, (time.process_time() - processor) / tasks)


def _nothing(count: int) -> Workflow:
    return Workflow.from_json(
        {f"n{i}": {"class_type": "Nothing", "inputs": {"literal": i}} for i in range(count)}
    )


def _samples(count: int) -> Workflow:
    nodes: dict[str, Any] = {"encode": {"class_type": "Encode", "inputs": {}}}
    for i in range(count):
        inputs = {"conditioning": ["encode", 0], "literal": i}
        nodes[f"n{i}"] = {"class_type": "Sample", "inputs": inputs}
    return Workflow.from_json(nodes)


def _saving() -> float:
    """Seconds of the processor that compressing and writing a picture of 1024 x 1024 takes."""
    import numpy as np

    from run_graph.nodes.image import SaveImage
    from run_graph.runtime.testing import NodeBench
    from run_graph.runtime.values import Image

    y, x = np.mgrid[0:1024, 0:1024].astype(np.float32) / 1024
    noise = np.random.default_rng(0).normal(0, 0.02, (1024, 1024, 3)).astype(np.float32)
    picture = Image(np.clip(np.stack([x, y, x * y], -1) + noise, 0, 1)[None])
    with tempfile.TemporaryDirectory() as folder:
        bench = NodeBench(Path(folder))
        bench.run(SaveImage(images=picture))
        return _timed(lambda: [bench.run(SaveImage(images=picture)) for _ in range(5)], 5).processor


def _sweep(pictures: int, workers: Sequence[int], rounds: int) -> dict[str, Timing]:
    """What the sweep takes, by where it runs; all clusters are there at once, and take turns."""
    from run_graph.runtime.cluster.local import LocalCluster
    from run_graph.runtime.cluster.start import on_cluster

    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        jobs = _jobs(make_small_model(Path(folder) / "small"), Path(folder) / "output", pictures)
        contenders = {"this process": _runner(Executor, jobs)}
        for count in workers:
            cluster = running.enter_context(LocalCluster(count, memory_limit=count * GB))
            name = f"{count} worker{'s' if count > 1 else ''}"
            contenders[name] = _runner(on_cluster(cluster.address), jobs)
        return alternate(contenders, rounds)


def _runner(executor: ExecutorFactory, jobs: Sequence[Job]) -> Callable[[], object]:
    session = Session(cache=NoCache(), executor=executor)
    return lambda: session.run_together(jobs)


def _jobs(model: str, output: Path, pictures: int) -> list[Job]:
    workflow = load_workflow(WORKFLOWS / "redux.json")
    for node_id, name, value in (
        ("flux", "model", model),
        ("redux", "model", model),
        ("sample", "width", SIDE),
        ("sample", "height", SIDE),
        ("sample", "steps", STEPS),
    ):
        workflow = workflow.with_input(node_id, name, value)
    place = RunEnvironment([WORKFLOWS], output)
    return [
        Job(workflow.with_input("sample", "seed", seed), place, name=f"j{seed}") for seed in range(pictures)
    ]


class _Case(NamedTuple):
    """A simulated sweep."""

    steps: int
    prompts: int
    memory: int
    machines: int
    outcome: Outcome


def _simulated(costs: Costs, pictures: int, machines: Sequence[int]) -> list[_Case]:
    cases = [(4, 1, 64), (4, pictures, 28), (20, 1, 64), (20, pictures, 28)]
    return [
        _Case(steps, prompts, memory, count, _simulate(costs, steps, memory, count).run(pictures, prompts))
        for steps, prompts, memory in cases
        for count in machines
    ]


def _simulate(costs: Costs, steps: int, memory: int, machines: int) -> Simulation:
    kinds = {
        "encode": Kind("encode", 1, ("t5", "clip"), ENCODE, 0.01 * MB, 4.2 * MB),
        "sample": Kind("sample", 2, ("transformer",), steps * STEP, 4.2 * MB, 1.0 * MB),
        "decode": Kind("decode", 3, ("vae",), DECODE, 1.0 * MB, 12.6 * MB),
    }
    return Simulation(machines, memory * GB, kinds, SIZES, costs)


def _task_table(own: _Cost, heavy: _Cost, dask: _Cost, saving: float) -> Table:
    rows = [
        [name, f"{cost.elapsed * 1e3:.1f}", f"{cost.processor * 1e3:.1f}"]
        for name, cost in (
            ("dask's own", dask),
            ("a step that does nothing", own),
            ("a step, 1 MB for 4 MB", heavy),
        )
    ]
    return Table(
        ["ms a task", "elapsed", "processor"], [*rows, ["a PNG of 1024 x 1024", "", f"{saving * 1e3:.0f}"]]
    )


def _sweep_table(sweep: dict[str, Timing]) -> Table:
    first = sweep["1 worker"]
    rows = [[name, timing.shown(digits=1), f"{first.ratio(timing):.2f}"] for name, timing in sweep.items()]
    return Table(["sweep on", "seconds", "speed-up over 1 worker"], rows)


def _simulation_table(cases: Sequence[_Case]) -> Table:
    rows = [
        [
            f"{case.steps} steps, {case.prompts:,} prompt{'s' if case.prompts > 1 else ''}, {case.memory} GB",
            f"{case.machines}",
            f"{case.outcome.seconds / 3600:.1f}",
            f"{case.outcome.efficiency:.1%}",
            f"{case.outcome.loads['transformer']} + {case.outcome.loads['t5']}",
            f"{case.outcome.most_loads}",
            f"{case.outcome.waited * 1e3:.0f}",
            f"{case.outcome.client:.0%}",
            f"{case.outcome.scheduler:.0%}",
            f"{case.outcome.saving:.0%}",
            f"{case.outcome.policy * 1e3:.2f}",
        ]
        for case in cases
    ]
    headings = [
        "sweep",
        "machines",
        "hours",
        "efficiency",
        "loads",
        "most",
        "idle, ms",
        "client",
        "scheduler",
    ]
    return Table([*headings, "PNGs", "policy, ms a step"], rows)


def _notes(cases: Sequence[_Case]) -> list[str]:
    """At how many machines each part of the client, as busy as on few, would have no time left."""
    notes = []
    for steps in sorted({case.steps for case in cases}):
        case = next(case for case in cases if case.steps == steps)
        shares = {
            "writing PNGs": case.outcome.saving,
            "the client's main thread": case.outcome.client,
            "dask's scheduler": case.outcome.scheduler,
        }
        limits = [
            f"{name} at {case.machines / share:,.0f} machines"
            for name, share in sorted(shares.items(), key=lambda each: -each[1])
        ]
        notes.append(f"With {steps} steps a picture the limits are {', '.join(limits)}.")
    return notes
