"""A node class's inputs and outputs, read from its annotations once and then cached."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import annotated_types
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from run_graph.graph.docstring import without_inputs
from run_graph.graph.node import LazyMarker, Node, Outputs
from run_graph.graph.sockets import is_link_only, socket_type

ADDED: dict[str, Any] = {"added": True}
"""The hint of an input that ComfyUI's node of the same name does not have; its editor knows nothing of it."""


@dataclass(frozen=True)
class InputSpec:
    """An input: its socket type and, for a parameter, which literals it accepts.

    Attributes
    ----------
    socket : str
        Socket type, such as ``"IMAGE"`` or ``"FLOAT"``.
    link_only : bool
        True if no literal is accepted (in ComfyUI: a socket rather than a widget).
    required, default
        A required input has no default; ``default`` is then None.
    options : tuple
        The allowed values of a COMBO.
    minimum, maximum, multiple_of : number or None
        Inclusive range and step of the allowed numbers.
    lazy : bool
        True if it is computed only when the node asks for it.
    nullable : bool
        True if None is allowed.
    hints : mapping
        Further hints for user interfaces (``multiline``, ``image_upload``, ``step``, ...).
    """

    name: str
    socket: str
    link_only: bool
    required: bool
    default: Any
    description: str
    options: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: float | None = None
    lazy: bool = False
    nullable: bool = False
    hints: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_added(self) -> bool:
        """Whether ComfyUI's node of the same name lacks it (:data:`ADDED`)."""
        return ADDED.keys() <= self.hints.keys()

    @property
    def takes_paths(self) -> bool:
        """Whether a text of one line is accepted, which may name a file."""
        return "STRING" in self.socket.split(",") and not self.hints.get("multiline")

    def expectation(self) -> str:
        """What this input accepts, in a few words, for messages and the reference."""
        if self.link_only:
            return (
                f"a link to an {self.socket} output"
                if self.socket[0] in "AEIOU"
                else f"a link to a {self.socket} output"
            )
        if self.options:
            return "one of " + ", ".join(str(option) for option in self.options)
        parts = [self.socket]
        if self.minimum is not None and self.maximum is not None:
            parts.append(f"from {plain_number(self.minimum)} to {plain_number(self.maximum)}")
        elif self.minimum is not None:
            parts.append(f"at least {plain_number(self.minimum)}")
        elif self.maximum is not None:
            parts.append(f"at most {plain_number(self.maximum)}")
        if self.multiple_of is not None:
            parts.append(f"a multiple of {plain_number(self.multiple_of)}")
        return ", ".join(parts)


@dataclass(frozen=True)
class OutputSpec:
    """An output: its slot number, name and socket type.

    ``forwards`` is the name of the input whose value it is, if it only forwards one.
    """

    slot: int
    name: str
    socket: str
    description: str
    forwards: str | None = None


@cache
def inputs_of(node_class: type[Node]) -> Mapping[str, InputSpec]:
    """The inputs of a node class by name, in declaration order.

    Raises
    ------
    TypeError
        If an annotation has no socket type.
    """
    specs = {name: _input_spec(name, info) for name, info in node_class.model_fields.items()}
    return MappingProxyType(specs)


@cache
def outputs_class(node_class: type[Node]) -> type[Outputs]:
    """The :class:`Outputs` class that a node's ``run`` is annotated to return.

    Raises
    ------
    TypeError
        If there is no such annotation.
    """
    returned = get_type_hints(node_class.run).get("return")
    if not (isinstance(returned, type) and issubclass(returned, Outputs)) or returned is Outputs:
        raise TypeError(
            f"{node_class.__name__}.run must be annotated to return its own subclass of graph.Outputs, "
            f"not {returned!r}"
        )
    return returned


@cache
def outputs_of(node_class: type[Node]) -> tuple[OutputSpec, ...]:
    """The outputs of a node class in slot order."""
    fields = outputs_class(node_class).model_fields
    return tuple(
        OutputSpec(slot, name, socket_type(info.annotation), info.description or "", forwarded_input(info))
        for slot, (name, info) in enumerate(fields.items())
    )


@cache
def value_outputs_of(node_class: type[Node]) -> tuple[str, ...]:
    """The names of the outputs that may hold other things than numbers, texts and truths."""
    return tuple(out.name for out in outputs_of(node_class) if not _is_plain(out.socket))


@cache
def value_inputs_of(node_class: type[Node]) -> tuple[str, ...]:
    """The names of the inputs that may hold other things than numbers, texts and truths."""
    return tuple(name for name, spec in inputs_of(node_class).items() if not _is_plain(spec.socket))


def _is_plain(socket: str) -> bool:
    return set(socket.split(",")) <= {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


@cache
def lazy_inputs_of(node_class: type[Node]) -> frozenset[str]:
    """The names of a node class's lazy inputs."""
    return frozenset(name for name, spec in inputs_of(node_class).items() if spec.lazy)


@cache
def parameters_of(node_class: type[Node]) -> Mapping[str, InputSpec]:
    """The inputs of a node class that take literals, by name, in the order of their declaration."""
    return MappingProxyType(
        {name: spec for name, spec in inputs_of(node_class).items() if not spec.link_only}
    )


def parameter_values(node: Node) -> dict[str, Any]:
    """The values of a node's parameters by name; links where it has not run."""
    return {name: getattr(node, name) for name in parameters_of(type(node))}


def paths_as_text(node_class: type[Node], values: Mapping[str, Any]) -> dict[str, str]:
    """The :class:`os.PathLike` objects among the values of a node's inputs, as text where a file is named.

    That is where the input takes text of one line: a path in place of a prompt is a mistake.
    """
    specs = inputs_of(node_class)
    return {
        name: os.fsdecode(value)
        for name, value in values.items()
        if isinstance(value, os.PathLike) and name in specs and specs[name].takes_paths
    }


@cache
def output_table(node_class: type[Node]) -> Mapping[int | str, OutputSpec]:
    """The outputs of a node class by slot number and by name, as a link may refer to them by either."""
    table: dict[int | str, OutputSpec] = {}
    for output in outputs_of(node_class):
        table[output.slot] = table[output.name] = output
    return MappingProxyType(table)


def summary_of(node_class: type[Node]) -> str:
    """The first paragraph of a node's docstring, on one line."""
    return " ".join(prose_of(node_class).split("\n\n")[0].split())


def prose_of(node_class: type[Node]) -> str:
    """A node's docstring as its author wrote it."""
    return without_inputs(node_class.__doc__ or "")


def _input_spec(name: str, info: FieldInfo) -> InputSpec:
    annotation = info.annotation
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return InputSpec(
        name=name,
        socket=socket_type(annotation),
        link_only=is_link_only(annotation),
        required=info.is_required(),
        default=None if info.default is PydanticUndefined else info.default,
        description=info.description or "",
        options=_options(annotation),
        minimum=_bound(info, annotated_types.Ge, "ge"),
        maximum=_bound(info, annotated_types.Le, "le"),
        multiple_of=_bound(info, annotated_types.MultipleOf, "multiple_of"),
        lazy=any(isinstance(item, LazyMarker) for item in info.metadata),
        nullable=type(None) in get_args(annotation),
        hints=MappingProxyType(dict(extra)),
    )


def forwarded_input(output: FieldInfo) -> str | None:
    """The input that an output forwards (:mod:`graph.forwarding`)."""
    extra = output.json_schema_extra
    return str(extra["forwards"]) if isinstance(extra, dict) and "forwards" in extra else None


def _bound(info: FieldInfo, kind: type[Any], attribute: str) -> Any:
    return next((getattr(item, attribute) for item in info.metadata if isinstance(item, kind)), None)


def _options(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(
        option
        for member in get_args(annotation)
        if get_origin(member) is Literal
        for option in get_args(member)
    )


def plain_number(value: float) -> str:
    """A number as a user would write it: ``10`` rather than ``10.0`` or ``1e+01``."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)
