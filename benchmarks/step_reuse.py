"""TeaCache's step reuse with a Redux reference on the tiny model: steps skipped, time saved, differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from benchmarks.report import Section, Table
from benchmarks.timing import alternate
from run_graph.graph import load_workflow
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.models.resolution import resolve_flux
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.networks.vae import decode
from run_graph.runtime.sampling.flow import State
from run_graph.runtime.sampling.latents import unpack
from run_graph.runtime.sampling.loop import SampleStep, denoise, no_noise
from run_graph.runtime.sampling.noise import initial_noise
from run_graph.runtime.sampling.schedules import sigmas
from run_graph.runtime.values import Conditioning

WORKFLOW = Path(__file__).parents[1] / "workflows" / "redux.json"
SIDE, STEPS, QUICK_STEPS = 96, 28, 12
THRESHOLDS = (0.1, 0.25, 0.4, 0.6, 0.8)
WINDOW = 7  # Side of SSIM's windows, in pixels.

_TEXT = """\
`workflows/redux.json`'s conditioning (81 Redux tokens), the tiny model, 96 pixels, 28 steps, one seed.
*skipped*: steps that did not run the network. *time*: sampling time over that without reuse, taken round by
round. *SSIM*: between the decoded pictures with and without reuse (Wang et al. 2004; 7 x 7 windows, mean of
the channels; 1 means equal).
"""

Pixels = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Bench:
    """The tiny model, ready to sample one conditioning."""

    sample: Callable[[float], list[SampleStep]]
    picture: Callable[[list[SampleStep]], Pixels]


def measure(quick: bool) -> Section:
    """Compare every threshold with no reuse."""
    steps = QUICK_STEPS if quick else STEPS
    bench = _bench(steps)
    found = {threshold: bench.sample(threshold) for threshold in (0.0, *THRESHOLDS)}
    timings = alternate(
        {str(threshold): partial(bench.sample, threshold) for threshold in found},
        rounds=2 if quick else 5,
    )
    plain = bench.picture(found[0.0])
    rows = [
        [
            f"{threshold:g}",
            f"{sum(step.reused for step in run)} of {steps}",
            timings[str(threshold)].shown(),
            f"{timings[str(threshold)].ratio(timings['0.0']):.2f}",
            f"{ssim(bench.picture(run), plain):.3f}",
        ]
        for threshold, run in found.items()
    ]
    headings = ["step_reuse", "skipped", "seconds", "time", "SSIM"]
    return Section("Step reuse", _TEXT, [Table(headings, rows)], ["mlx", "numpy"])


def _bench(steps: int) -> _Bench:
    store = ModelStore()
    workflow = load_workflow(WORKFLOW)
    [sample] = [spec for spec in workflow.nodes.values() if spec.class_type == "FluxSample"]
    source = sample.inputs["conditioning"].node_id
    session = Session(cache=NoCache(), services=Services(store))
    result = session.run(
        workflow, targets=[source], environment=RunEnvironment([WORKFLOW.parent], Path("output"))
    )
    [conditioning] = [
        value for value in vars(result.outputs(source)).values() if isinstance(value, Conditioning)
    ]
    checkpoint = resolve_flux("tiny")
    transformer, vae = store.transformer(checkpoint), store.get(checkpoint, "vae")
    entry = conditioning.only
    prepared = transformer.prepare(entry.tokens, entry.pooled, 3.5, height=SIDE, width=SIDE)
    levels, noise = sigmas(steps, SIDE, SIDE, shift=True), initial_noise(1, SIDE, SIDE)

    def run(threshold: float) -> list[SampleStep]:
        done = []
        for step in denoise(transformer, prepared, State(0, noise), levels, no_noise, step_reuse=threshold):
            mx.eval(step.latents)
            done.append(step)
        return done

    def picture(run: list[SampleStep]) -> Pixels:
        pixels: Pixels = np.array(decode(vae.module, vae.config, unpack(run[-1].latents, SIDE, SIDE)))[0]
        return pixels

    return _Bench(run, picture)


def ssim(one: Pixels, other: Pixels) -> float:
    """Structural similarity of two pictures (H, W, C), 0..1, with uniform weights in each window."""

    def mean(values: Pixels) -> npt.NDArray[np.float64]:
        windows = np.lib.stride_tricks.sliding_window_view(values, (WINDOW, WINDOW), axis=(0, 1))
        means: npt.NDArray[np.float64] = windows.mean(axis=(-2, -1), dtype=np.float64)
        return means

    a, b = mean(one), mean(other)
    spread_a, spread_b = mean(one * one) - a * a, mean(other * other) - b * b
    together = mean(one * other) - a * b
    brightness = (2 * a * b + 0.01**2) / (a * a + b * b + 0.01**2)
    structure = (2 * together + 0.03**2) / (spread_a + spread_b + 0.03**2)
    return float((brightness * structure).mean())
