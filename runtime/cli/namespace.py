"""From argparse's untyped ``Namespace`` to a typed, frozen dataclass."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, get_type_hints


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Group = TypeVar("Group", bound=_Dataclass)


def from_namespace(kind: type[Group], parsed: Namespace) -> Group:
    """Fill a dataclass with the parsed options of the same names.

    A field whose own type is a dataclass is a group of options and is filled in the same way. Lists become
    tuples.

    Raises
    ------
    AttributeError
        If the parser has no option for a field.
    """
    types = get_type_hints(kind)
    return kind(**{field.name: _value(types[field.name], field.name, parsed) for field in fields(kind)})


def _value(kind: Any, name: str, parsed: Namespace) -> Any:
    if isinstance(kind, type) and is_dataclass(kind):
        return from_namespace(kind, parsed)
    return _frozen(getattr(parsed, name))


def _frozen(value: Any) -> Any:
    """Lists as tuples, and ``~`` in paths as the home folder: the shell leaves it after ``--option=``."""
    if isinstance(value, list):
        return tuple(_frozen(each) for each in value)
    return value.expanduser() if isinstance(value, Path) else value
