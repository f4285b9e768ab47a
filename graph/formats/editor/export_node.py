"""One node of a workflow as the editor saves it: its slots and the values of its widgets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from run_graph.graph.declaration import InputSpec, inputs_of, outputs_of
from run_graph.graph.formats.editor.document import OWN_INPUTS
from run_graph.graph.formats.editor.schema import NO_DEFAULT, EditorInput, EditorSchemas
from run_graph.graph.formats.editor.texts import escaped
from run_graph.graph.formats.editor.widgets import UNKNOWN
from run_graph.graph.links import Link
from run_graph.graph.node import Node
from run_graph.graph.registry import Registry
from run_graph.graph.sockets import ANY
from run_graph.graph.workflow import NodeSpec, is_wrapped, own_copy

_SEEDS = {"seed", "noise_seed"}
# Behind a seed: what happens to it after a run. Behind a choice: that, and a filter of its options.
_CONTROLS: Sequence[Sequence[str]] = ((), ("fixed",), ("fixed", ""))
_UPLOAD = "image"
_TYPES = ((bool, "BOOLEAN"), (int, "INT"), (float, "FLOAT"), (str, "STRING"))


class Slot(NamedTuple):
    """An input of a node in the editor."""

    name: str
    type: str
    has_widget: bool


class OutputSlot(NamedTuple):
    """An output of a node in the editor."""

    name: str
    type: str


@dataclass(frozen=True)
class NodeParts:
    """What of a node's entry in an editor file follows from its class and its inputs.

    Attributes
    ----------
    slots : tuple of Slot
        Its inputs: sockets first, then those that have a widget.
    outputs : tuple of OutputSlot
    values : tuple
        The values of its widgets by position, with those that the editor has behind some of them.
    named : dict, optional
        The same by name, if the class is not known: nothing else says their names then.
    own : dict
        Literals that no widget of the editor can hold, which only run-graph reads.
    tall : int
        How many widgets have several lines.
    """

    slots: tuple[Slot, ...]
    outputs: tuple[OutputSlot, ...]
    values: tuple[Any, ...]
    named: dict[str, Any] | None
    own: dict[str, Any]
    tall: int

    @property
    def widgets(self) -> int:
        """How many widgets it shows."""
        return len(self.values if self.named is None else self.named)

    def properties(self, spec: NodeSpec) -> dict[str, Any]:
        """The entry's properties."""
        found: dict[str, Any] = {"Node name for S&R": spec.class_type}
        if spec.pack is not None:
            found["aux_id" if "/" in spec.pack else "cnr_id"] = spec.pack
        return {**found, OWN_INPUTS: own_copy(self.own)} if self.own else found


def node_parts(
    spec: NodeSpec, wanted: Mapping[int, str], registry: Registry, schemas: EditorSchemas
) -> NodeParts:
    """The parts of a node's entry.

    Parameters
    ----------
    spec : NodeSpec
    wanted : mapping
        The types that inputs of other nodes accept, by the slot that they are linked to.
    registry : Registry
    schemas : EditorSchemas
        The classes as the editor sees them.
    """
    node_class = registry.get(spec.class_type)
    outputs = tuple(_outputs(node_class, wanted))
    known = schemas.inputs(spec.class_type)
    if known is None:
        return _of_unknown_class(spec, outputs)
    widgets = [each for each in known.values() if each.is_widget]
    names = {each.name for each in widgets}
    literals = {name: value for name, value in spec.inputs.items() if not isinstance(value, Link)}
    return NodeParts(
        tuple(_slots(spec, known, inputs_of(node_class) if node_class else {})),
        outputs,
        (*_values(widgets, literals), *_added(schemas.added(spec.class_type), node_class, literals)),
        None,
        {name: value for name, value in literals.items() if name not in names},
        sum(each.is_multiline for each in widgets),
    )


def _outputs(node_class: type[Node] | None, wanted: Mapping[int, str]) -> Iterator[OutputSlot]:
    declared = outputs_of(node_class) if node_class else ()
    for output in declared:
        yield OutputSlot(output.name, output.socket)
    for slot in range(len(declared), max(wanted, default=-1) + 1):
        yield OutputSlot(f"output {slot}", wanted.get(slot, ANY))


def _slots(
    spec: NodeSpec, known: Mapping[str, EditorInput], declared: Mapping[str, InputSpec]
) -> Iterator[Slot]:
    for has_widget in (False, True):
        for each in known.values():
            if each.is_widget is has_widget:
                yield Slot(each.name, each.type, has_widget)
    for name, _ in spec.links():
        if name not in known:
            yield Slot(name, declared[name].socket if name in declared else ANY, has_widget=False)


def _values(widgets: Sequence[EditorInput], literals: Mapping[str, Any]) -> Iterator[Any]:
    """The values by position: a widget that has none or is linked shows its default."""
    for each in widgets:
        value = literals.get(each.name)
        yield _shown(each.default) if value is None else _held(each, value)
        yield from _CONTROLS[each.extra_slots]
    if any(each.has_button for each in widgets):
        yield _UPLOAD


def _added(names: Sequence[str], node_class: type[Node] | None, literals: Mapping[str, Any]) -> Iterator[Any]:
    """The values that our server's editor shows behind ComfyUI's; ComfyUI itself has no widgets for them."""
    if node_class is None or literals.keys().isdisjoint(names):
        return
    declared = inputs_of(node_class)
    for name in names:
        yield _bare(literals[name]) if name in literals else _shown(declared[name].default)


def _held(widget: EditorInput, value: Any) -> Any:
    """A literal as a widget holds it: a list without its wrapper, a prompt without special characters."""
    if isinstance(value, str) and widget.is_dynamic:
        return escaped(value)
    return _bare(value)


def _bare(value: Any) -> Any:
    is_list = is_wrapped(value) and isinstance(value["__value__"], list)
    return own_copy(value["__value__"] if is_list else value)


def _shown(default: Any) -> Any:
    return None if default is NO_DEFAULT else own_copy(default)


def _of_unknown_class(spec: NodeSpec, outputs: tuple[OutputSlot, ...]) -> NodeParts:
    """The entry of a node whose class is not known: its literals are taken for widgets, in their order."""
    literals = {name: value for name, value in spec.inputs.items() if not isinstance(value, Link)}
    named = [name for name in literals if not name.startswith(UNKNOWN)]
    linked = [Slot(name, ANY, has_widget=False) for name, _ in spec.links()]
    values: list[Any] = []
    for name, value in literals.items():
        values.append(_bare(value))
        if name in _SEEDS and _type_of(value) == "INT":
            values += _CONTROLS[1]
    return NodeParts(
        (*linked, *(Slot(name, _type_of(literals[name]), has_widget=True) for name in named)),
        outputs,
        tuple(values),
        {name: _bare(value) for name, value in literals.items()},
        {},
        sum(isinstance(value, str) and len(value) > 60 for value in literals.values()),
    )


def _type_of(value: Any) -> str:
    return next((name for kind, name in _TYPES if isinstance(value, kind)), ANY)
