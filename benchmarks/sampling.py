"""Sampling compared with mflux's own transformer, with the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mflux.models.common.config.model_config import ModelConfig

from benchmarks.memory import peak_bytes
from benchmarks.mflux_transformer import mflux_transformer, sample_with_mflux
from benchmarks.report import Section, Table
from benchmarks.timing import Timing, alternate
from run_graph.runtime.device import compute_dtype
from run_graph.runtime.networks.cpu import on_cpu, use_numpy_linears
from run_graph.runtime.networks.transformer import FluxTransformer
from run_graph.runtime.sampling.flow import State
from run_graph.runtime.sampling.loop import denoise, no_noise
from run_graph.runtime.sampling.noise import initial_noise
from run_graph.runtime.sampling.schedules import sigmas

WIDTHS, SIDES, REDUX_TOKENS, PROMPT_TOKENS = (256, 3072), (256, 512, 1024), (0, 81, 729), 512
QUICK_WIDTHS, QUICK_SIDES = (256,), (256,)
GOAL, TOLERANCE = 0.75, 2e-3
# On a CPU, mflux's step takes up to twenty minutes: with more numbers than this in the sequence, a single
# step is taken, once. `benchmarks.sampling_wide` measures what takes more than an hour.
MANY = 512 * 1024
WIDE_SIDES_ON_CPU = (256,)

_TEXT = """\
One joint block and one single block with random weights, the same for both; 512 prompt tokens, guidance, from
noise to latents, including what each does once per run. *mflux*: its `Transformer` and scheduler unchanged;
at width 256 with its fixed widths replaced. Seconds per step; *ratio* is our time over mflux's, taken round
by round. *memory*: peak memory of a run in addition to the weights, ours over mflux's. *difference*: the
largest difference over mflux's largest value. On a CPU, sequences of more than half a million numbers are
measured with one step, once.
"""


@dataclass(frozen=True)
class _Case:
    width: int
    side: int
    redux: int

    @property
    def tokens(self) -> int:
        return self.side * self.side // 256

    @property
    def is_long(self) -> bool:
        return on_cpu() and self.width * (self.tokens + PROMPT_TOKENS) > MANY

    @property
    def steps(self) -> int:
        return 1 if self.is_long else 4


@dataclass
class _Contender:
    """Samples, and keeps the last result and the peak memory of a run."""

    run: Callable[[], mx.array]
    measures_each: bool
    latents: mx.array | None = None
    peak: int | None = None

    def __call__(self) -> None:
        if self.measures_each:  # A second run just for the memory would take minutes.
            self.measure_memory()
        else:
            self._sample()

    def measure_memory(self) -> None:
        self.peak = peak_bytes(self._sample)

    def _sample(self) -> None:
        self.latents = self.run()
        mx.eval(self.latents)


def measure(quick: bool) -> Section:
    """Every width, size and number of Redux tokens; on a CPU, only small sizes at FLUX's own width."""
    widths = QUICK_WIDTHS if quick else WIDTHS
    return compared("Sampling", {width: _sides(width, quick) for width in widths}, quick)


def compared(title: str, sizes: Mapping[int, Sequence[int]], quick: bool) -> Section:
    """Compare the given widths, and for each the given sides in pixels, with every number of Redux tokens.

    If interrupted by Ctrl-C, it reports what it has measured.
    """
    ModelConfig.precision = compute_dtype()  # mflux's global; by default it rounds to bfloat16 on a CPU too.
    rows: list[list[str]] = []
    ratios: list[float] = []
    interrupted = False
    try:
        for row, ratio in _rows(sizes, quick):
            print(" | ".join(row), flush=True)
            rows.append(row)
            ratios.append(ratio)
    except KeyboardInterrupt:
        if not rows:
            raise
        interrupted = True
    headings = ["width", "image tokens", "Redux tokens", "ours, s", "mflux, s", "ratio"]
    headings += ["memory", "difference"]
    met = sum(ratio <= GOAL for ratio in ratios)
    notes = [
        f"Goal: at most {GOAL} of mflux's time; met in {met} of {len(ratios)} cases; "
        f"ratios {min(ratios):.3f} to {max(ratios):.3f}. Computed in {compute_dtype()}."
    ]
    if interrupted:
        notes.append("Interrupted: the remaining sizes were not measured.")
    return Section(title, _TEXT, [Table(headings, rows)], ["mlx", "mflux", "numpy"], notes)


def _rows(sizes: Mapping[int, Sequence[int]], quick: bool) -> Iterator[tuple[list[str], float]]:
    for width, sides in sizes.items():
        module = mflux_transformer(width)
        ours = FluxTransformer(_as_loaded(module, width), {})
        for side in sides:
            for redux in REDUX_TOKENS:
                yield _row(_Case(width, side, redux), module, ours, quick)


def _sides(width: int, quick: bool) -> tuple[int, ...]:
    if quick:
        return QUICK_SIDES
    return WIDE_SIDES_ON_CPU if on_cpu() and width == WIDTHS[-1] else SIDES


def _as_loaded(module: Any, width: int) -> Any:
    """Another module with the same weights, with the linear layers that our loader uses."""
    module_copy = mflux_transformer(width)
    module_copy.update(module.parameters())
    use_numpy_linears(module_copy)
    return module_copy


def _row(case: _Case, module: Any, ours: FluxTransformer, quick: bool) -> tuple[list[str], float]:
    keys = mx.random.split(mx.random.key(case.redux))
    dtype = compute_dtype()
    tokens = mx.random.normal((1, PROMPT_TOKENS + case.redux, 4096), key=keys[0]).astype(dtype)
    pooled = mx.random.normal((1, 768), key=keys[1]).astype(dtype)
    noise = initial_noise(0, case.side, case.side)
    mx.eval(tokens, pooled, noise)
    contenders = {
        "ours": _Contender(lambda: _sample(ours, tokens, pooled, noise, case), case.is_long),
        "mflux": _Contender(
            lambda: sample_with_mflux(module, tokens, pooled, noise, case.steps, case.side), case.is_long
        ),
    }
    rounds, warm_up = (1, 0) if case.is_long else (2 if quick else 3, 1)
    timings = alternate(contenders, rounds, warm_up=warm_up)
    mine, theirs = (Timing(tuple(s / case.steps for s in timings[name].seconds)) for name in contenders)
    ratio = mine.ratio(theirs)
    if not case.is_long:
        for contender in contenders.values():
            contender.measure_memory()
    sizes = [f"{case.width:,}", f"{case.tokens:,}", str(case.redux)]
    found = [mine.shown(), theirs.shown(), f"{ratio:.3f}"]
    return [*sizes, *found, _memory(contenders), f"{_difference(contenders):.1e}"], ratio


def _sample(
    transformer: FluxTransformer, tokens: mx.array, pooled: mx.array, latents: mx.array, case: _Case
) -> mx.array:
    prepared = transformer.prepare(tokens, pooled, 3.5, height=case.side, width=case.side)
    levels = sigmas(case.steps, case.side, case.side, shift=True)
    for step in denoise(transformer, prepared, State(0, latents), levels, no_noise):
        latents = step.latents
        mx.eval(latents)
    return latents


def _memory(contenders: dict[str, _Contender]) -> str:
    ours, theirs = contenders["ours"].peak, contenders["mflux"].peak
    return f"{ours / theirs:.2f}" if ours and theirs else "not measured"


def _difference(contenders: dict[str, _Contender]) -> float:
    """The largest difference, over mflux's largest value.

    Raises AssertionError if it is larger than rounding and mflux's different GELU explain.
    """
    ours, theirs = contenders["ours"].latents, contenders["mflux"].latents
    assert ours is not None
    assert theirs is not None
    difference = float((mx.abs(ours - theirs).max() / mx.abs(theirs).max()).astype(mx.float32).item())  # type: ignore[arg-type]
    if compute_dtype() == mx.float32 and difference > TOLERANCE:
        raise AssertionError(f"the results differ by {difference:.1e}, more than {TOLERANCE}")
    return difference
