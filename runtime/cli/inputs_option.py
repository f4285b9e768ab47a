"""What ``run-graph FILE --inputs`` lists: each input that ``--set`` and ``--sweep`` can set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from run_graph.graph.declaration import InputSpec, parameters_of
from run_graph.graph.faults import shorten
from run_graph.graph.links import Link
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import NodeSpec, Workflow, unwrapped
from run_graph.runtime.cli.set_option import takes_picture, takes_random

_VALUE_WIDTH = 40  # characters


@dataclass(frozen=True)
class Settable:
    """An input that takes values.

    Attributes
    ----------
    node_id, class_type, name : str
    spec : InputSpec, optional
        None if the class of the node is unknown.
    value : JSON value or Link
        In the workflow; the default where the workflow says nothing.
    given : bool
        Whether the workflow says it.
    """

    node_id: str
    class_type: str
    name: str
    spec: InputSpec | None
    value: Any
    given: bool

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON values; what is unknown or does not apply is null."""
        spec, link = self.spec, isinstance(self.value, Link)
        return {
            "node": self.node_id,
            "class_type": self.class_type,
            "input": self.name,
            "type": spec.socket if spec else None,
            "value": None if link else self.value,
            "link": self.value.to_json() if link else None,
            "given": self.given,
            "required": spec.required if spec else None,
            "default": spec.default if spec else None,
            "choices": list(spec.options) or None if spec else None,
            "minimum": spec.minimum if spec else None,
            "maximum": spec.maximum if spec else None,
            "multiple_of": spec.multiple_of if spec else None,
            "description": spec.description if spec else None,
        }

    def columns(self) -> tuple[str, str, str]:
        """Place, present value, and what is accepted."""
        return f"{self.node_id}.{self.name}", self._value(), self._accepted()

    def _value(self) -> str:
        if isinstance(self.value, Link):
            return f"linked to {self.value.node_id}"
        if not self.given and self.spec is not None and self.spec.required:
            return "(missing)"
        return shorten(self.value, _VALUE_WIDTH) + ("" if self.given else " (default)")

    def _accepted(self) -> str:
        if self.spec is None:
            return f"there is no node class {self.class_type!r}"
        if takes_picture(self.spec):
            return "a picture file"
        further = " or null" if self.spec.nullable else " or random" if takes_random(self.spec) else ""
        return self.spec.expectation() + further


def settable_inputs(workflow: Workflow, registry: Registry) -> list[Settable]:
    """The inputs that take values, in the order of the file.

    Of a node whose class is unknown, they are those to which the workflow gives a value.
    """
    return [each for node_id, spec in workflow.nodes.items() for each in _of_node(node_id, spec, registry)]


def _of_node(node_id: str, spec: NodeSpec, registry: Registry) -> Iterator[Settable]:
    if spec.class_type not in registry:
        for name, value in spec.inputs.items():
            if not isinstance(value, Link):
                yield Settable(node_id, spec.class_type, name, None, unwrapped(value), True)
        return
    for name, parameter in parameters_of(registry[spec.class_type]).items():
        value = unwrapped(spec.inputs.get(name, parameter.default))
        yield Settable(node_id, spec.class_type, name, parameter, value, name in spec.inputs)


def inputs_text(inputs: Sequence[Settable]) -> Iterator[str]:
    """One line for each input, in columns."""
    rows = [each.columns() for each in inputs]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    for place, value, accepted in rows:
        yield f"{place:{widths[0]}}  {value:{widths[1]}}  {accepted}"
