"""The values that one ``--sweep`` gives an input: lists, ranges, files and patterns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from run_graph.graph.declaration import InputSpec
from run_graph.graph.faults import Fault, WorkflowError
from run_graph.graph.links import parse_link
from run_graph.runtime.cli.picture_pattern import pictures_named
from run_graph.runtime.cli.set_option import file_from_here, read_value, takes_picture
from run_graph.runtime.cli.text_file import literal, names_file, read_text
from run_graph.runtime.formats.source import Source

MAXIMUM_VARIANTS = 10_000

OPTION = "--sweep"
LIMIT = f"At most {MAXIMUM_VARIANTS:,} can be run at once."
_RANGE = re.compile(r"(-?\d{1,19})\.\.(-?\d{1,19})")


def swept_values(text: str, spec: InputSpec | None, source: Source, setting: str) -> Iterator[Any]:
    """The values that the text behind ``=`` means for an input; `setting` is the whole text, for messages.

    Raises
    ------
    WorkflowError
        If it means none, or too many.
    """
    in_json = _json_list(text)
    if in_json is not None:
        if not in_json:
            raise _refusal(setting, "lists no values", "Give at least one.")
        yield from (_listed_value(value, spec, source) for value in in_json)
        return
    if not text.strip():
        raise _refusal(setting, "gives no values", 'Give at least one; write an empty text as [""].')
    for part in text.split(","):
        for value in _texts(part.strip(), setting):
            yield from _meant(value, spec, source, setting)


def _texts(part: str, setting: str) -> list[str]:
    """What is between two commas, or the lines of the file that it names."""
    if not names_file(part):
        return [literal(part)]
    lines = (line.strip() for line in read_text(part[1:], f"{OPTION} {setting!r}").split("\n"))
    values = [line for line in lines if line]
    if not values:
        raise _refusal(
            setting, f"names the file {part[1:]!r}, which has no values", "Write one on each line."
        )
    return values


def _meant(text: str, spec: InputSpec | None, source: Source, setting: str) -> Iterable[Any]:
    """The value that a text means, or the values of a range or a pattern."""
    if spec is not None and spec.socket == "INT" and (numbers := _range(text, setting)) is not None:
        return numbers
    if takes_picture(spec):
        folders = list(dict.fromkeys([Path.cwd(), *source.folders]))
        names = pictures_named(text, folders, f"{OPTION} {setting!r}")
        return [file_from_here(name, source) for name in names]
    return [read_value(text, spec, source)]


def _json_list(text: str) -> list[Any] | None:
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, list) else None


def _listed_value(value: Any, spec: InputSpec | None, source: Source) -> Any:
    if isinstance(value, str) and takes_picture(spec):
        return file_from_here(value, source)
    link = parse_link(value)
    return value if link is None else link


def _range(text: str, setting: str) -> range | None:
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    if last < first:
        raise _refusal(setting, f"counts down from {first} to {last}", f"Write {last}..{first}.")
    if last - first >= MAXIMUM_VARIANTS:
        raise _refusal(setting, f"gives {last - first + 1:,} values", LIMIT)
    return range(first, last + 1)


def _refusal(setting: str, what: str, fix: str) -> WorkflowError:
    return WorkflowError([Fault("bad_sweep", f"{OPTION} {setting!r} {what}", fix)])
