"""Run what ComfyUI ran, and compare what it computed.

A folder of goldens holds ``index.json`` and, for each case, ``NAME.json``, the API prompt, and ``NAME.npz``,
the values that ComfyUI 0.33 computed. The input files are in ``images/`` and ``loras/``, in it or beside it.

An entry of the index says which nodes ran (``targets``) and what the arrays of the npz file are
(``captures``: an array's name, then a node, its output and the *kind* of value). A kind is a function in
`KINDS` from our value to its arrays, whose names are appended to the capture's. What was recorded of each
sampling has a name that begins with an underscore, and a function in `RECORDED`, which gets the `Sampling`.
To cover more kinds of values, add functions to the two tables.

An array is there whole, or, if ``NAME.shape`` and ``NAME.stride`` are, as every stride-th number of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import mlx.core as mx
import numpy as np

from run_graph.graph import Registry, Workflow
from run_graph.graph.formats.api import workflow_from
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.session import Session
from run_graph.runtime.events import Event
from run_graph.runtime.sampling import guided
from run_graph.runtime.sampling.flow import State
from run_graph.runtime.values import Conditioning, Entry, Image, Latent, Mask, Sigmas, Vision

Arrays = Mapping[str, Any]

TOLERANCE = 1e-4
"""How much may differ, as a share of the largest magnitude."""

EIGHT_BIT_STEPS = 1
"""How much 8-bit pictures may differ."""

# ComfyUI's own two exact attentions differ by this share; where it is large, more than TOLERANCE is allowed.
_LARGE_FLOOR, _FLOORS = 1e-5, 10

_INPUTS = ("images", "loras")
_MARKS = (".shape", ".stride", ".norm")


@dataclass(frozen=True)
class Case:
    """One of ComfyUI's runs.

    Attributes
    ----------
    name : str
    folder : Path
        Where its two files are.
    entry : mapping
        What the index says of it.
    """

    name: str
    folder: Path
    entry: Mapping[str, Any]

    @cached_property
    def workflow(self) -> Workflow:
        return workflow_from(json.loads((self.folder / f"{self.name}.json").read_text(encoding="utf-8")))

    @cached_property
    def expected(self) -> dict[str, Any]:
        with np.load(self.folder / f"{self.name}.npz") as arrays:
            return dict(arrays)

    @property
    def inputs(self) -> list[Path]:
        """The folders of the input files."""
        places = [parent / kind for parent in (self.folder, self.folder.parent) for kind in _INPUTS]
        return [place for place in places if place.is_dir()]

    def missing_classes(self, registry: Registry) -> list[str]:
        """The classes of its nodes that there are not yet."""
        return sorted({node.class_type for node in self.workflow.nodes.values()} - set(registry))


class Sampling(NamedTuple):
    """What a sampler began with: noise ``(B, h, w, 16)`` and noise levels."""

    noise: Any
    levels: Sequence[float]


@dataclass
class Run:
    """A case as it ran here: the outputs of all nodes that were asked for, its events and its samplings."""

    case: Case
    outputs: Mapping[str, Any]
    events: list[Event] = field(default_factory=list)
    samplings: list[Sampling] = field(default_factory=list)


def cases(folder: Path) -> list[Case]:
    """The cases of a folder of goldens, in the order of its index."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return [Case(name, folder, entry) for name, entry in index.items()]


def run(case: Case, session: Session, output: Path) -> Run:
    """Run a case's prompt as any workflow is run; files are written into ``output``."""
    captured = {node_id for node_id, _, _ in case.entry["captures"].values()}
    events: list[Event] = []
    samplings: list[Sampling] = []

    def begin(start: guided.Start, levels: Sequence[float]) -> State:
        samplings.append(Sampling(start.noise, levels))
        return begun(start, levels)

    begun = guided.begin
    with mock.patch.object(guided, "begin", begin):
        result = session.run(
            case.workflow,
            targets=[*dict.fromkeys([*case.entry["targets"], *sorted(captured)])],
            environment=RunEnvironment(case.inputs, output),
            on_event=events.append,
        )
    return Run(case, result.by_node, events, samplings)


def new_session(registry: Registry) -> Session:
    """A session that keeps models, and no results: every case computes its own."""
    return Session(registry=registry, cache=NoCache())


# -- what values are in arrays ----------------------------------------------------------------------


def _picture(value: Image) -> Arrays:
    return {"": value.pixels}


def _eight_bit_picture(value: Image) -> Arrays:
    return {"": np.stack([value.eight_bit(index) for index in range(value.shape[0])])}


def _mask(value: Mask) -> Arrays:
    return {"": value.values}


def _latent(value: Latent) -> Arrays:
    arrays: dict[str, Any] = {"": np.array(value.samples.astype(mx.float32)).transpose(0, 3, 1, 2)}
    if value.noise_mask is not None:
        arrays[".noise_mask"] = value.noise_mask[:, None]
    if value.batch_index is not None:
        arrays[".batch_index"] = np.array(value.batch_index)
    return arrays


def _conditioning(value: Conditioning) -> Arrays:
    arrays: dict[str, Any] = {".entries": np.int32(len(value.entries))}
    for index, entry in enumerate(value.entries):
        arrays |= {f"{index}{name}": array for name, array in _entry(entry).items()}
    return arrays


def _entry(entry: Entry) -> Arrays:
    arrays: dict[str, Any] = {
        ".tokens": np.array(entry.tokens.astype(mx.float32)),
        ".pooled_output": np.array(entry.pooled.astype(mx.float32)),
        ".start_percent": np.float64(entry.start),
        ".end_percent": np.float64(entry.end),
    }
    if entry.guidance is not None:
        arrays[".guidance"] = np.float64(entry.guidance)
    if entry.attention_bias is not None:
        arrays[".attention_mask"] = entry.attention_bias.astype(np.float32)
        arrays[".attention_mask_img_shape"] = np.array([1, 1])
    return arrays


def _vision(value: Vision) -> Arrays:
    return {"": np.array(value.hidden.astype(mx.float32))}


def _number(value: float) -> Arrays:
    return {"": np.float32(value)}


def _levels(value: Sigmas) -> Arrays:
    return {"": value.levels}


KINDS: dict[str, Callable[[Any], Arrays]] = {
    "image": _eight_bit_picture,
    "imgs": _picture,
    "imgf": _picture,
    "mask": _mask,
    "latent": _latent,
    "latent16": _latent,
    "cond": _conditioning,
    "vision": _vision,
    "float": _number,
    "sigmas": _levels,
}
"""From a value of each kind to its arrays, in ComfyUI's layout, by what follows the capture's name."""

RECORDED: dict[str, Callable[[Sampling], Any]] = {
    "_sigmas": lambda sampling: np.float32(sampling.levels),
    "_noise": lambda sampling: sampling.noise.transpose(0, 3, 1, 2),
    "_noise_first": lambda sampling: sampling.noise.transpose(0, 3, 1, 2).ravel()[:8],
}
"""What was recorded of a sampling, by the array's name without its number (``_sigmas`` for ``_sigmas#1``)."""

NOT_COMPARED = {"_calls"}
"""How ComfyUI put entries into batches, which is no part of the result."""


# -- comparing --------------------------------------------------------------------------------------


def differences(run: Run) -> dict[str, str]:
    """What differs from ComfyUI's, by the array's name; empty if nothing does."""
    case = run.case
    ours = arrays_of(run)
    names = [name for name in case.expected if not name.endswith(_MARKS) and name not in NOT_COMPARED]
    found = {
        name: "there is nothing to compare it with; add its kind to KINDS or RECORDED"
        for name in names
        if name not in ours
    }
    for name in names:
        if name in ours and (difference := _difference(case, name, np.asarray(ours[name]))):
            found[name] = difference
    return found


def arrays_of(run: Run) -> dict[str, Any]:
    """Our arrays under the names of ComfyUI's."""
    arrays: dict[str, Any] = {}
    for key, (node_id, slot, kind) in run.case.entry["captures"].items():
        value = _output(run, node_id, slot)
        if value is not None and kind in KINDS:
            arrays.update({f"{key}{part}": array for part, array in KINDS[kind](value).items()})
    for name in run.case.expected:
        plain = name.partition("#")[0]
        if plain in RECORDED and run.samplings:
            arrays[name] = _nearest(run.case, name, [RECORDED[plain](each) for each in run.samplings])
    return arrays


def _nearest(case: Case, name: str, ours: Sequence[Any]) -> Any:
    """Of several samplings, which ran in any order, the one that was recorded under a name."""
    expected = case.expected[name]

    def distance(array: Any) -> float:
        same = array.shape == expected_shape(case, name)
        return float(np.abs(in_places(case, name, array) - expected).max()) if same else np.inf

    return min(ours, key=distance)


def expected_shape(case: Case, name: str) -> tuple[int, ...]:
    """The shape of ComfyUI's whole array."""
    shape = case.expected.get(f"{name}.shape", case.expected[name].shape)
    return tuple(int(side) for side in shape)


def in_places(case: Case, name: str, ours: Any) -> Any:
    """Of an array of ours, the numbers whose places were kept of ComfyUI's, in the shape of what was kept."""
    stride = case.expected.get(f"{name}.stride")
    return ours if stride is None else ours.ravel()[:: int(stride)]


def _output(run: Run, node_id: str, slot: int) -> Any:
    outputs = run.outputs[node_id]
    return outputs.__dict__.get(list(type(outputs).model_fields)[slot])


def _difference(case: Case, name: str, ours: Any) -> str | None:
    """What is wrong with an array of ours, in words; None if it equals ComfyUI's."""
    expected = case.expected[name]
    shape = expected_shape(case, name)
    if [side for side in ours.shape if side != 1] == [side for side in shape if side != 1]:
        ours = ours.reshape(shape)  # some masks of ComfyUI's have a channel
    if ours.shape != shape:
        return f"shape {ours.shape}, not {shape}"
    if f"{name}.stride" in case.expected:
        total = float(np.abs(ours[np.isfinite(ours)], dtype=np.float64).sum())
        norm = float(case.expected.get(f"{name}.norm", total))  # of pictures in 8 bits there is none
        if abs(total - norm) > _allowed(case, name) * max(norm, 1e-30):
            return f"the magnitudes add up to {total:.7g}, not {norm:.7g}"
    ours = in_places(case, name, ours)
    if expected.dtype == np.uint8:
        steps = int(np.abs(ours.astype(int) - expected.astype(int)).max())
        return f"differs by {steps} 8-bit steps" if steps > EIGHT_BIT_STEPS else None
    return _float_difference(ours.astype(np.float64), expected.astype(np.float64), _allowed(case, name))


def _float_difference(ours: Any, expected: Any, allowed: float) -> str | None:
    finite = np.isfinite(expected)
    if not np.array_equal(ours[~finite], expected[~finite], equal_nan=True):
        return "other numbers are not finite"
    if not finite.any():
        return None
    largest = np.abs(expected[finite]).max()
    error = float(np.abs(ours[finite] - expected[finite]).max() / max(largest, 1e-30))
    return (
        f"differs by {error:.2g} of the largest magnitude, more than {allowed:.2g}"
        if error > allowed
        else None
    )


def _allowed(case: Case, name: str) -> float:
    floor = float(case.entry.get("rounding_floor", {}).get(name, 0))
    return max(TOLERANCE, _FLOORS * floor) if floor > _LARGE_FLOOR else TOLERANCE
