"""Socket types: the type of the value that a link carries, and which output fits which input.

A socket type is a plain string, as in ComfyUI (``"IMAGE"``, ``"INT"``, ``"*"``, ``"INT,FLOAT"``), so
that workflow files, other programs and third-party nodes can use types that this package does not know.
:func:`socket_type` translates Python annotations into these strings.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Hashable
from typing import Annotated, Any, ClassVar, Literal, Self, Union, get_args, get_origin

from pydantic_core import CoreSchema, core_schema

ANY = "*"
COMBO = "COMBO"

_PRIMITIVES: dict[object, str] = {bool: "BOOLEAN", int: "INT", float: "FLOAT", str: "STRING", Any: ANY}

# An output of the first type also fits an input of the second, without loss.
_WIDENINGS = {("INT", "FLOAT"), (COMBO, "STRING")}

LINK_SCHEMA: dict[str, Any] = {
    "type": "array",
    "title": "Link",
    "description": "[node id, output slot or output name]",
    "prefixItems": [{"type": "string"}, {"type": ["integer", "string"]}],
    "minItems": 2,
    "maxItems": 2,
}


class SocketValue:
    """Base class of values that only a link can carry: pictures, tensors, model handles.

    A subclass sets ``socket_type``. Nodes annotate an input or an output with the subclass itself; pydantic
    then checks the value with ``isinstance`` only.

    Examples
    --------
    >>> class Image(SocketValue):
    ...     socket_type = "IMAGE"
    """

    socket_type: ClassVar[str]

    @property
    def nbytes(self) -> int:
        """The memory that this value takes, in bytes, for the size limit of the result cache."""
        return 0

    @property
    def affinity(self) -> Hashable | None:
        """The key by which nodes that read this value are grouped; a model handle returns its weights'."""
        return None

    @property
    def digest(self) -> str | None:
        """A text that differs between different values and is the same in every process; None if unknown.

        With it, nodes that read equal values share results, whichever nodes made them.
        """
        return None

    def seal(self) -> None:
        """Make the value final: computed, read-only, and as its socket promises.

        Called once, when the node that made it has returned it.

        Raises
        ------
        ValueError
            If it is not what its socket promises; the message says what is wrong and what is expected.
        """

    def for_reader(self) -> Self:
        """The value as a node or a listener gets it, which must not be able to change it for others.

        The value itself if it cannot be changed, which is what this does, or else a copy.
        """
        return self

    def for_caller(self) -> Self:
        """The value as the caller of a run gets it, who may change its arrays: a copy if it has any."""
        return self.for_reader()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        return core_schema.is_instance_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {**LINK_SCHEMA, "socket_type": cls.socket_type}


def socket_type(annotation: Any) -> str:
    """The socket type of a Python annotation.

    ``int``, ``float``, ``str``, ``bool`` and ``Any`` have fixed names; ``Literal`` is ``COMBO``; a
    :class:`SocketValue` subclass has its own; ``X | None`` is ``X``; other unions are comma lists.

    Raises
    ------
    TypeError
        If the annotation has no socket type.
    """
    if get_origin(annotation) is Annotated:
        return socket_type(get_args(annotation)[0])
    if annotation in _PRIMITIVES:
        return _PRIMITIVES[annotation]
    if isinstance(annotation, type) and issubclass(annotation, SocketValue):
        return annotation.socket_type
    if get_origin(annotation) is Literal:
        return COMBO
    if get_origin(annotation) in (Union, types.UnionType):
        members = [socket_type(member) for member in get_args(annotation) if member is not type(None)]
        return ",".join(dict.fromkeys(members))
    raise TypeError(
        f"{annotation!r} has no socket type: use int, float, str, bool, Literal[...], Any, "
        "or a class derived from graph.SocketValue"
    )


def is_link_only(annotation: Any) -> bool:
    """Whether no JSON literal can have this type, so that only a link can provide the value."""
    if get_origin(annotation) is Annotated:
        return is_link_only(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return all(is_link_only(member) for member in get_args(annotation) if member is not type(None))
    return isinstance(annotation, type) and issubclass(annotation, SocketValue)


def compatible(produced: str, accepted: str) -> bool:
    """Whether an output of type ``produced`` may feed an input of type ``accepted``.

    Types fit if they are equal, if either is ``*``, or if they are comma lists with a common member
    (ComfyUI's rule). An INT also fits a FLOAT and a COMBO a STRING, but not the reverse (InvokeAI's rule for
    numbers).
    """
    if produced == accepted:
        return True
    sources = [source.strip() for source in produced.split(",")]
    sinks = [sink.strip() for sink in accepted.split(",")]
    return any(
        ANY in (source, sink) or source == sink or (source, sink) in _WIDENINGS
        for source in sources
        for sink in sinks
    )
