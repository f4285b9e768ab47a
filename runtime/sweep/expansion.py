"""Many variants of a workflow as one workflow.

An input is swept over several values. Each node that a swept input affects is copied once for each
combination of values that makes a difference to it; every other node stays as it is and is shared. One run
of the result therefore does all shared work once, and loads each model once.

>>> axes = [Axis("smaller", "mode", ("low", "high")), Axis("sample", "seed", (1, 2))]
>>> sweep = expand(workflow, axes, registry)
>>> sweep.copies["smaller"]
('smaller@mode-low', 'smaller@mode-low', 'smaller@mode-high', 'smaller@mode-high')
>>> sweep.copies["photo"]
('photo', 'photo', 'photo', 'photo')
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from run_graph.graph.declaration import inputs_of
from run_graph.graph.fingerprint import canonical
from run_graph.graph.links import Link
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import NodeSpec, Workflow
from run_graph.runtime.sweep.labels import input_names, slugs, value_label

PREFIX_INPUT = "filename_prefix"  # ComfyUI's convention for the input that names an output node's files

Choice = tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """An input and the values to sweep it over.

    Attributes
    ----------
    node_id, input : str
        Which input.
    values : tuple
        JSON values or links, one for each position.
    labels : tuple of str
        How each value is shown. Default: :func:`runtime.sweep.labels.value_label`.
    """

    node_id: str
    input: str
    values: tuple[Any, ...]
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.labels:
            object.__setattr__(self, "labels", tuple(value_label(value) for value in self.values))

    @property
    def place(self) -> str:
        """``node.input``, as on the command line."""
        return f"{self.node_id}.{self.input}"

    def first_like(self, position: int) -> int:
        """The first position that has the same value as this one."""
        return self._first_positions[_canonical(self.values[position])]

    @cached_property
    def _first_positions(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for position, value in enumerate(self.values):
            found.setdefault(_canonical(value), position)
        return found


@dataclass(frozen=True)
class Variant:
    """One combination of values.

    ``choice`` is the position on each axis; ``label`` is a text such as ``mode-low_seed-2``, or "" without
    axes.
    """

    choice: Choice
    label: str


@dataclass(frozen=True)
class Sweep:
    """All variants as one workflow.

    Attributes
    ----------
    workflow : Workflow
    axes : tuple of Axis
    zipped : bool
        Whether the axes were paired rather than multiplied.
    variants : tuple of Variant
        In order; the last axis changes fastest.
    copies : mapping
        For each node of the original workflow its id in each variant.
    prefixes : mapping
        For each output node whose file name prefix got a label, the prefix without it.
    originals : mapping
        For each node of the expanded workflow the id of the original node.
    """

    workflow: Workflow
    axes: tuple[Axis, ...]
    zipped: bool
    variants: tuple[Variant, ...]
    copies: Mapping[str, tuple[str, ...]]
    prefixes: Mapping[str, str] = field(default_factory=dict)
    originals: Mapping[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        originals = {copy: node_id for node_id, copies in self.copies.items() for copy in copies}
        object.__setattr__(self, "originals", originals)

    @property
    def recorded(self) -> dict[str, dict[str, str]]:
        """What the files record in place of what ran, by node id and input: the prefix without the label.

        A file of a sweep that is run again with another setting then does not keep the old one in its name.
        """
        return {node_id: {PREFIX_INPUT: prefix} for node_id, prefix in self.prefixes.items()}

    def targets(self, node_ids: Iterable[str]) -> list[str]:
        """All copies of these nodes; an unknown id is kept, so that validation reports it."""
        copies = itertools.chain.from_iterable(self.copies.get(node_id, (node_id,)) for node_id in node_ids)
        return list(dict.fromkeys(copies))


def expand(workflow: Workflow, axes: Sequence[Axis], registry: Registry, *, zipped: bool = False) -> Sweep:
    """Copy the nodes that the swept inputs affect.

    Parameters
    ----------
    workflow : Workflow
        Need not be valid, but must have the nodes that the axes name.
    axes : sequence of Axis
        Without axes there is one variant, the workflow itself.
    registry : Registry
        Says which nodes are output nodes: their ``filename_prefix`` gets the variant's label, so that the
        variants' files have different names.
    zipped : bool
        Pair the values of all axes, which have equally many, instead of combining each with each.
    """
    choices = _choices(axes, zipped)
    naming = _Naming(workflow, axes)
    nodes: dict[str, NodeSpec] = {}
    copies: dict[str, tuple[str, ...]] = {}
    prefixes: dict[str, str] = {}
    for node_id, spec in workflow.nodes.items():
        copies[node_id] = tuple(naming.copy_id(node_id, choice) for choice in choices)
        for copy_id, choice in zip(copies[node_id], choices, strict=True):
            if copy_id not in nodes:
                nodes[copy_id] = copied = _copy(node_id, spec, choice, naming)
                label = naming.file_label(node_id, choice)
                prefix = _prefix(copied, registry) if label else None
                if prefix is not None:
                    prefixes[copy_id] = prefix
                    nodes[copy_id] = _with_prefix(copied, f"{prefix}_{label}")
    every_axis = range(len(axes))
    variants = tuple(Variant(choice, naming.label(choice, every_axis)) for choice in choices)
    return Sweep(Workflow(nodes), tuple(axes), zipped, variants, copies, prefixes)


def same_value(one: Any, other: Any) -> bool:
    """Whether two swept values are the same link or JSON value (1, 1.0 and true are all different)."""
    return _canonical(one) == _canonical(other)


def _canonical(value: Any) -> str:
    return canonical({"link": value.to_json()} if isinstance(value, Link) else [value])


def _choices(axes: Sequence[Axis], zipped: bool) -> list[Choice]:
    if not (zipped and axes):
        return list(itertools.product(*(range(len(axis.values)) for axis in axes)))
    positions = range(len(axes[0].values))
    return [tuple(axis.first_like(position) for axis in axes) for position in positions]


class _Naming:
    """Which axes affect which nodes, and what the copies are called."""

    def __init__(self, workflow: Workflow, axes: Sequence[Axis]) -> None:
        self.axes = axes
        self.names = input_names([(axis.node_id, axis.input) for axis in axes])
        self.slugs = [slugs(axis.labels) for axis in axes]
        self.reach = _reach(workflow, axes)
        self._mark = "@"
        while any(self._mark in node_id for node_id in workflow.nodes):  # a workflow that was expanded before
            self._mark += "@"

    def copy_id(self, node_id: str, choice: Choice) -> str:
        reaching = self.reach.get(node_id)
        return f"{node_id}{self._mark}{self.label(choice, reaching)}" if reaching else node_id

    def file_label(self, node_id: str, choice: Choice) -> str:
        """What is appended to the node's file name prefix; "" if nothing but the prefix itself is swept."""
        own_prefix = (node_id, PREFIX_INPUT)
        reaching = self.reach.get(node_id, ())
        return self.label(
            choice, [i for i in reaching if (self.axes[i].node_id, self.axes[i].input) != own_prefix]
        )

    def label(self, choice: Choice, positions: Iterable[int]) -> str:
        return "_".join(f"{self.names[i]}-{self.slugs[i][choice[i]]}" for i in positions)


def _reach(workflow: Workflow, axes: Sequence[Axis]) -> dict[str, list[int]]:
    """For each node the axes that affect it, following every link that any variant has."""
    readers: defaultdict[str, set[str]] = defaultdict(set)
    for node_id, spec in workflow.nodes.items():
        for source in spec.upstream:
            readers[source].add(node_id)
    for axis in axes:
        for value in axis.values:
            if isinstance(value, Link):
                readers[value.node_id].add(axis.node_id)
    reach: defaultdict[str, list[int]] = defaultdict(list)
    for position, axis in enumerate(axes):
        for node_id in _downstream(axis.node_id, readers):
            reach[node_id].append(position)
    return dict(reach)


def _downstream(start: str, readers: Mapping[str, set[str]]) -> set[str]:
    seen, pending = {start}, [start]
    while pending:
        for reader in readers.get(pending.pop(), ()):
            if reader not in seen:
                seen.add(reader)
                pending.append(reader)
    return seen


def _copy(node_id: str, spec: NodeSpec, choice: Choice, naming: _Naming) -> NodeSpec:
    inputs = dict(spec.inputs)
    for position, axis in enumerate(naming.axes):
        if axis.node_id == node_id:
            inputs[axis.input] = axis.values[choice[position]]
    copied = NodeSpec(spec.class_type, inputs, spec.title)
    return copied.relinked(lambda source: naming.copy_id(source, choice))


def _prefix(spec: NodeSpec, registry: Registry) -> str | None:
    """An output node's file name prefix, given or default; None if there is no text to append to."""
    node_class = registry.get(spec.class_type)
    if node_class is None or not node_class.is_output or PREFIX_INPUT not in inputs_of(node_class):
        return None
    prefix = spec.inputs.get(PREFIX_INPUT, inputs_of(node_class)[PREFIX_INPUT].default)
    return prefix if isinstance(prefix, str) else None


def _with_prefix(spec: NodeSpec, prefix: str) -> NodeSpec:
    return NodeSpec(spec.class_type, {**spec.inputs, PREFIX_INPUT: prefix}, spec.title)
