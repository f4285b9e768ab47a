"""The networks compared with torch's, in float32 on the CPU, at FLUX.1's own widths."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.memory import peak_bytes
from benchmarks.report import Section, Table
from benchmarks.timing import Timing, alternate
from run_graph.runtime.networks.cpu import on_cpu
from training.layout.make import make_checkpoint
from training.layout.spec import TinySpec

if TYPE_CHECKING:
    from benchmarks.torch_pairs import Pair

FULL_WIDTH = TinySpec(
    heads=24,
    head_size=128,
    rope_axes=(16, 56, 56),
    joint_blocks=1,
    single_blocks=1,
    t5_width=4096,
    t5_heads=64,
    t5_hidden=10240,
    t5_layers=1,
    t5_tokens=512,
    siglip_width=1152,
    siglip_heads=16,
    siglip_hidden=4304,
    siglip_layers=2,
    vae_channels=(128, 256, 512, 512),
    vae_groups=32,
    vae_layers=2,
)
"""FLUX.1's and SigLIP's widths; depths are reduced, since a layer costs what the next one costs."""
TOLERANCE = 1e-4
TIME_GOAL, MEMORY_GOAL = 1.3, 1.2
GOAL_OF = "VAE, decode 512 px"

_TEXT = """\
Each network at FLUX.1's own width, in float32 on the CPU: ours, and that of transformers or diffusers on
torch with the same random weights, in turn in one process. One thread: processor seconds. Two threads:
seconds by the clock, measured only where two cores have nothing else to do. *ratio* is our time over torch's,
taken round by round. *memory*: peak memory of a run on one thread in addition to the weights. *difference*:
the largest difference over torch's largest value. FLUX's step includes the embedding of the prompt, the time
and the positions, which we otherwise compute once per run and diffusers in every step. All ratios are from
one run on one machine.
"""


@dataclass(frozen=True)
class _Measured:
    name: str
    by_threads: dict[int, tuple[Timing, Timing]]
    peaks: tuple[int | None, int | None]
    difference: float

    @property
    def memory_ratio(self) -> float | None:
        ours, theirs = self.peaks
        return ours / theirs if ours and theirs else None

    def time_ratio(self, threads: int) -> float:
        ours, theirs = self.by_threads[threads]
        return ours.ratio(theirs)


def measure(quick: bool) -> Section:
    """Every network, with one thread and with two."""
    if not on_cpu():
        raise SystemExit("The benchmark 'networks' compares what the CPU computes; here MLX uses a GPU.")
    if not (find_spec("torch") and find_spec("diffusers")):
        raise SystemExit("The benchmark 'networks' needs torch: uv pip install --no-config torch diffusers")
    return compared(FULL_WIDTH, quick)


def compared(spec: TinySpec, quick: bool) -> Section:
    """Compare the networks of a checkpoint of these sizes; interrupted, those that have been measured."""
    counts = (1,) if quick or not _has_two_free_cores() else (1, 2)
    measured: list[_Measured] = []
    notes = []
    with tempfile.TemporaryDirectory() as folder:
        make_checkpoint(Path(folder) / "flux", spec)
        try:
            for pair in _pairs(Path(folder) / "flux", spec, quick):
                measured.append(_measured(pair, counts, rounds=1 if quick else 2))
                print(" | ".join(_row(measured[-1])), flush=True)
        except KeyboardInterrupt:
            if not measured:
                raise
            notes = ["Interrupted: the remaining networks were not measured."]
    headings = ["network"]
    for threads in counts:
        unit = f"{threads} thread{'s' * (threads > 1)}"
        headings += [f"{unit}: ours, s", "torch, s", "ratio"]
    headings += ["memory: ours, MB", "torch, MB", "ratio", "difference"]
    packages = ["mlx", "numpy", "torch", "diffusers", "transformers"]
    title = "Networks compared with torch"
    table = Table(headings, list(map(_row, measured)))
    return Section(title, _TEXT, [table], packages, [*_notes(measured), *notes])


def _has_two_free_cores() -> bool:
    """Whether a time by the clock says something about two threads."""
    cores = os.cpu_count() or 1
    return cores >= 2 and os.getloadavg()[0] <= cores / 2


def _pairs(folder: Path, spec: TinySpec, quick: bool) -> Iterator[Pair]:
    """Those with a goal first; the largest last."""
    from benchmarks.torch_pairs import Pairs

    pairs = Pairs(folder)
    yield from pairs.siglip()
    yield from pairs.vae((64,) if quick else (256, 512), encoded=64 if quick else 256)
    yield from pairs.t5(spec.t5_tokens)
    yield from pairs.transformer(512, 256)
    if not quick:
        yield from pairs.transformer(512 + 729, 512)


def _measured(pair: Pair, counts: tuple[int, ...], rounds: int) -> _Measured:
    with _threads(1):
        difference = _difference(pair)  # Also warms up, and reads the weights, which are mapped, into memory.
        peaks = peak_bytes(pair.ours), peak_bytes(pair.theirs)
    by_threads = {}
    for threads in counts:
        with _threads(threads):
            clock = time.process_time if threads == 1 else time.perf_counter
            contenders: dict[str, Callable[[], object]] = {"ours": pair.ours, "torch": pair.theirs}
            timings = alternate(contenders, rounds, warm_up=0, clock=clock)
            by_threads[threads] = timings["ours"], timings["torch"]
    return _Measured(pair.name, by_threads, peaks, difference)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Both libraries with this many threads; ours takes as many as BLAS has."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def _difference(pair: Pair) -> float:
    ours, theirs = pair.ours(), pair.theirs()
    difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    if not difference <= TOLERANCE:
        raise AssertionError(f"{pair.name}: the results differ by {difference:.1e}, more than {TOLERANCE}")
    return difference


def _row(measured: _Measured) -> list[str]:
    row = [measured.name]
    for threads, timings in measured.by_threads.items():
        row += [*(timing.shown() for timing in timings), f"{measured.time_ratio(threads):.2f}"]
    row += ["not measured" if peak is None else f"{peak / 1e6:,.0f}" for peak in measured.peaks]
    ratio = measured.memory_ratio
    return [*row, "" if ratio is None else f"{ratio:.2f}", f"{measured.difference:.1e}"]


def _notes(measured: list[_Measured]) -> list[str]:
    return [
        f"{each.name}, one thread: {each.time_ratio(1):.2f} of torch's time, where the goal is at most "
        f"{TIME_GOAL}, and {each.memory_ratio or float('nan'):.2f} of its memory, where it is {MEMORY_GOAL}."
        for each in measured
        if each.name == GOAL_OF
    ]
