"""The tokens that a file name prefix may contain, such as ``%year%``. One that is not known is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from run_graph.runtime.files.atomic import SaveError

NAMES = ("width", "height", "year", "month", "day", "hour", "minute", "second")

_TOKEN = re.compile(r"%([^%/\\]+)%")
_DATE = "date:"
# The parts of ComfyUI's date formats, the longest first.
_DATE_PARTS: dict[str, Callable[[datetime], str]] = {
    "yyyy": lambda time: f"{time.year:04}",
    "yy": lambda time: f"{time.year % 100:02}",
    "MM": lambda time: f"{time.month:02}",
    "M": lambda time: str(time.month),
    "dd": lambda time: f"{time.day:02}",
    "d": lambda time: str(time.day),
    "hh": lambda time: f"{time.hour:02}",
    "h": lambda time: str(time.hour),
    "mm": lambda time: f"{time.minute:02}",
    "m": lambda time: str(time.minute),
    "ss": lambda time: f"{time.second:02}",
    "s": lambda time: str(time.second),
}
_DATE_PART = re.compile("|".join(_DATE_PARTS))


def token_fault(prefix: str) -> str | None:
    """What is wrong with the tokens of a prefix, as far as the prefix alone shows; None if nothing is."""
    for name in _TOKEN.findall(prefix):
        if name not in NAMES and not name.startswith(_DATE) and "." not in name:
            return (
                f"file name prefix {prefix!r} contains the unknown token %{name}%; known are "
                f"{', '.join(f'%{known}%' for known in NAMES)}, %date:yyyy-MM-dd% and %node.input%"
            )
    return None


def expand_tokens(
    prefix: str,
    *,
    width: int,
    height: int,
    graph: Mapping[str, Any] | None = None,
    now: datetime | None = None,
) -> str:
    """Replace the tokens in a file name prefix, ComfyUI's server's and its browser's.

    ``%width%`` and ``%height%`` become the picture's size in pixels. ``%year%`` becomes the year in four
    digits; ``%month%``, ``%day%``, ``%hour%``, ``%minute%`` and ``%second%`` have two digits each, in local
    time. ``%date:yyyy-MM-dd hh:mm:ss%`` is the time in any such format. ``%sample.seed%`` becomes an input of
    a node, called by its id, title or class; characters that file names cannot have become ``_``.

    Parameters
    ----------
    prefix : str
        The prefix as written in the workflow.
    width, height : int
        Size of the picture, pixels.
    graph : mapping, optional
        The graph as run, in API format, for inputs of nodes.
    now : datetime, optional
        The time to use; the current time by default.

    Raises
    ------
    SaveError
        If a token is unknown; names it.
    """
    if fault := token_fault(prefix):
        raise SaveError(fault)
    time = now or datetime.now()
    sizes = {"width": str(width), "height": str(height)}

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name.startswith(_DATE):
            return _safe(_DATE_PART.sub(lambda part: _DATE_PARTS[part[0]](time), name.removeprefix(_DATE)))
        if name in NAMES:
            return sizes[name] if name in sizes else f"{getattr(time, name):02}"
        return _safe(_input_value(name, graph or {}))

    return _TOKEN.sub(value, prefix)


def _input_value(token: str, graph: Mapping[str, Any]) -> str:
    owner, _, name = token.rpartition(".")
    for called in (_has_id, _has_title, _has_class):
        for node_id, spec in graph.items():
            if called(node_id, spec, owner) and name in spec["inputs"]:
                value = spec["inputs"][name]
                if isinstance(value, list):
                    raise SaveError(
                        f"%{token}% in the file name prefix is linked; name an input with a value"
                    )
                return str(value)
    raise SaveError(f"%{token}% in the file name prefix: no node {owner!r} has an input {name!r}")


def _has_id(node_id: str, spec: Mapping[str, Any], owner: str) -> bool:
    return node_id == owner


def _has_title(node_id: str, spec: Mapping[str, Any], owner: str) -> bool:
    return bool(spec.get("_meta", {}).get("title") == owner)


def _has_class(node_id: str, spec: Mapping[str, Any], owner: str) -> bool:
    return bool(spec["class_type"] == owner)


def _safe(text: str) -> str:
    return re.sub(r'[\x00-\x1f<>:"/\\|?*]', "_", text)
