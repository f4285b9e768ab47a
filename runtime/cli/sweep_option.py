"""``--sweep node.input=v1,v2,...`` and ``--zip``: which inputs take which values, all in one run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from run_graph.graph.context import Environment
from run_graph.graph.declaration import InputSpec
from run_graph.graph.faults import Fault, WorkflowError
from run_graph.graph.links import Link
from run_graph.graph.registry import Registry
from run_graph.graph.validation import check, node_faults
from run_graph.graph.workflow import Workflow
from run_graph.runtime.cli.options import NodeOptions
from run_graph.runtime.cli.place import find_place, split_setting
from run_graph.runtime.cli.set_option import takes_picture
from run_graph.runtime.cli.sweep_values import LIMIT, MAXIMUM_VARIANTS, OPTION, swept_values
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.formats.source import Source
from run_graph.runtime.sweep.expansion import Axis, Choice, Sweep, expand
from run_graph.runtime.sweep.labels import value_label

_SHOWN = 80  # characters of a value in a message


def read_sweep(
    source: Source,
    options: NodeOptions,
    registry: Registry,
    environment: RunEnvironment,
    *,
    check_values: bool,
) -> Sweep:
    """The workflow with all variants that the command line asks for.

    Raises
    ------
    WorkflowError
        If a ``--sweep`` cannot be read or, with ``check_values``, if a value does not fit its input.
    """
    zipped = options.zipped
    axes = read_axes(source, options.sweeps, registry, zipped=zipped)
    if axes and check_values:
        check_axes(source.workflow, axes, registry, options.targets or None, environment, zipped=zipped)
    return expand(source.workflow, axes, registry, zipped=zipped)


def sweep_event(sweep: Sweep, name: str = "") -> dict[str, Any]:
    """What ``--json`` prints before the events: the settings of each variant, and the nodes that are its own.

    Where several workflows run together, ``name`` is the name of this one, which prefixes the ids of its
    nodes.
    """
    named, prefix = ({"workflow": name}, f"{name}:") if name else ({}, "")
    variants = [
        {
            "label": variant.label,
            "settings": {
                axis.place: value_label(axis.values[position])
                for axis, position in zip(sweep.axes, variant.choice, strict=True)
            },
            "nodes": {
                node_id: f"{prefix}{copies[number]}"
                for node_id, copies in sweep.copies.items()
                if copies[number] != node_id
            },
        }
        for number, variant in enumerate(sweep.variants)
    ]
    return {"event": "sweep", **named, "variants": variants}


def read_axes(
    source: Source, settings: Iterable[str], registry: Registry, *, zipped: bool = False
) -> tuple[Axis, ...]:
    """The swept inputs, in the order given.

    Values are separated by commas and read as ``--set`` reads them. ``1..4`` means 1, 2, 3, 4 if the input
    is a whole number. For a picture, a pattern such as ``refs/*.jpg`` or a folder means all that it has,
    sorted. ``@FILE`` means the values in a file, one a line, without blank lines; ``@@text`` means the text
    ``@text``. Values that contain commas are given in such a file or as a JSON list:
    ``prompt.prompt=["a, b", "c"]``.

    Raises
    ------
    WorkflowError
        With every setting whose node or input does not exist, or that has no values, repeated values or too
        many.
    """
    axes: list[Axis] = []
    faults: list[Fault] = []
    for setting in settings:
        try:
            axes.append(_axis(source, setting, registry))
        except WorkflowError as error:
            faults += error.faults
    faults = faults or list(_combination_faults(axes, zipped))
    if faults:
        raise WorkflowError(faults)
    return tuple(axes)


def check_axes(
    workflow: Workflow,
    axes: Sequence[Axis],
    registry: Registry,
    targets: Sequence[str] | None,
    env: Environment,
    *,
    zipped: bool = False,
) -> None:
    """Validate every value in the workflow as it is in the file, before nodes are copied.

    The whole workflow is validated with the first values, and for each other value only the node that it
    changes, unless it is a link.

    Raises
    ------
    WorkflowError
        With each fault once, under the ids of the file. A fault that a value causes names the setting.
    """
    found: dict[Fault, Fault] = {}
    first, *others = _trials(axes, zipped)
    with_first = _with_values(workflow, axes, first)
    checked = check(with_first, registry, targets, env)
    for fault in checked.faults:
        found[fault] = _naming_setting(fault, axes, first, first)
    for trial in others:
        if _has_link(axes, trial):
            faults = check(_with_values(workflow, axes, trial), registry, targets, env).faults
        else:
            faults = tuple(_faults_of_changed(checked.workflow, axes, trial, first, registry, env))
        for fault in faults:
            found.setdefault(fault, _naming_setting(fault, axes, trial, first))
    if found:
        raise WorkflowError(list(found.values()))


def _with_values(workflow: Workflow, axes: Sequence[Axis], trial: Choice) -> Workflow:
    """The workflow with these values, for those of the nodes that it has."""
    for axis, position in zip(axes, trial, strict=True):
        if axis.node_id in workflow.nodes:
            workflow = workflow.with_input(axis.node_id, axis.input, axis.values[position])
    return workflow


def _has_link(axes: Sequence[Axis], trial: Choice) -> bool:
    return any(isinstance(axis.values[position], Link) for axis, position in zip(axes, trial, strict=True))


def _faults_of_changed(
    workflow: Workflow,
    axes: Sequence[Axis],
    trial: Choice,
    first: Choice,
    registry: Registry,
    env: Environment,
) -> Iterator[Fault]:
    """The faults of the nodes in which a trial differs from the first, which the workflow has."""
    changed = {
        axis.node_id: workflow.nodes[axis.node_id]
        for axis, position, before in zip(axes, trial, first, strict=True)
        if position != before and axis.node_id in workflow.nodes
    }
    for node_id, spec in _with_values(Workflow(changed), axes, trial).nodes.items():
        yield from node_faults(node_id, spec, workflow, registry, env)


def _axis(source: Source, setting: str, registry: Registry) -> Axis:
    typed, text = split_setting(OPTION, setting)
    place = find_place(source.workflow, registry, typed, f"{OPTION} {setting!r}")
    values = tuple(swept_values(text, place.spec, source, setting))
    return Axis(place.node_id, place.input, values, _labels(values, place.spec))


def _labels(values: Sequence[Any], spec: InputSpec | None) -> tuple[str, ...]:
    """How the values are shown: a picture by its name without the suffix, unless two have the same."""
    if not takes_picture(spec):
        return tuple(value_label(value) for value in values)
    names = [Path(value) if isinstance(value, str) else None for value in values]
    stems = Counter(name.stem for name in names if name is not None)
    return tuple(
        value_label(value) if name is None else name.stem if stems[name.stem] == 1 else name.name
        for name, value in zip(names, values, strict=True)
    )


def _combination_faults(axes: Sequence[Axis], zipped: bool) -> Iterator[Fault]:
    for position, axis in enumerate(axes):
        if any(axis.place == earlier.place for earlier in axes[:position]):
            yield Fault(
                "bad_sweep", f"{OPTION} {axis.place} is given twice", "List all its values in one --sweep."
            )
    lengths = [len(axis.values) for axis in axes]
    if zipped and len(set(lengths)) > 1:
        counts = ", ".join(f"{axis.place} has {len(axis.values)}" for axis in axes)
        yield Fault(
            "bad_sweep",
            f"--zip pairs the values one by one, but {counts}",
            "Give each the same number of values.",
        )
        return
    yield from _repetitions(axes, zipped)
    count = max(lengths, default=1) if zipped else math.prod(lengths)
    if count > MAXIMUM_VARIANTS:
        yield Fault("bad_sweep", f"the sweep has {count:,} variants", LIMIT)


def _repetitions(axes: Sequence[Axis], zipped: bool) -> Iterator[Fault]:
    """Values, or pairs of values, that occur twice and would make the same picture again."""
    for group in [list(axes)] if zipped and axes else [[axis] for axis in axes]:
        seen = set()
        for position in range(len(group[0].values)):
            choice = tuple(axis.first_like(position) for axis in group)
            if choice in seen:
                again = _setting(group, [position] * len(group))
                yield Fault("bad_sweep", f"{OPTION} {again} is given twice", "Remove one.")
            seen.add(choice)


def _trials(axes: Sequence[Axis], zipped: bool) -> list[Choice]:
    """Combinations in which each value occurs at least once.

    With ``--zip`` these are all pairs; otherwise each value with the first value of every other axis.
    """
    if zipped and axes:
        return [(position,) * len(axes) for position in range(len(axes[0].values))]
    first = (0,) * len(axes)
    others = [
        (*first[:number], position, *first[number + 1 :])
        for number, axis in enumerate(axes)
        for position in range(1, len(axis.values))
    ]
    return [first, *others]


def _naming_setting(fault: Fault, axes: Sequence[Axis], trial: Choice, first: Choice) -> Fault:
    """The fault; if a setting causes it, the message begins with that setting."""
    pairs = list(zip(axes, trial, strict=True))
    guilty = [
        (axis, position)
        for axis, position in pairs
        if axis.node_id == fault.node_id and fault.input in (axis.input, None)
    ] or [pair for pair, before in zip(pairs, first, strict=True) if pair[1] != before]
    if not guilty:
        return fault
    setting = _setting([axis for axis, _ in guilty], [position for _, position in guilty])
    return replace(fault, message=f"{OPTION} {setting}: {fault.message}")


def _setting(axes: Sequence[Axis], positions: Sequence[int]) -> str:
    return ", ".join(
        f"{axis.place}={_cut(value_label(axis.values[position]))}"
        for axis, position in zip(axes, positions, strict=True)
    )


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
