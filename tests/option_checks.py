"""Checks of a frozen dataclass of options, nested in groups, that a parser fills."""

from argparse import SUPPRESS, ArgumentParser
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any, get_type_hints

import pytest
from pydantic import TypeAdapter


def groups(options: Any) -> Iterator[Any]:
    """The dataclass itself and all groups within it."""
    yield options
    for field in fields(options):
        value = getattr(options, field.name)
        if is_dataclass(value):
            yield from groups(value)


def leaf_values(options: Any) -> dict[str, Any]:
    """The fields that are not groups, by name; fails if two groups have a field of the same name."""
    pairs = [
        (field.name, getattr(group, field.name))
        for group in groups(options)
        for field in fields(group)
        if not is_dataclass(getattr(group, field.name))
    ]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def destinations(parser: ArgumentParser) -> list[str]:
    """The names under which the parser keeps values, sorted; not ``--help`` and ``--version``."""
    return sorted(action.dest for action in parser._actions if action.default != SUPPRESS)


def check_types_and_frozenness(options: Any) -> None:
    """Every value has exactly the type that its field declares, and no field can be set."""
    for group in groups(options):
        for name, declared in get_type_hints(type(group)).items():
            value = getattr(group, name)
            if not is_dataclass(value):
                assert TypeAdapter(declared).validate_python(value, strict=True) == value
            with pytest.raises(FrozenInstanceError):
                setattr(group, name, value)
