"""Short names for a sweep's values: for contact sheets, ids and file names."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from run_graph.graph.links import Link

MAXIMUM_SLUG_BYTES = 24  # several of them and the prefix must fit in a file name of 255 bytes

_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
_UNFIT_FOR_NAMES = re.compile(r"[^\w.]+")


def value_label(value: Any) -> str:
    """A value as a person would write it: text as it is, a link as ``node.output``, the rest as JSON."""
    if isinstance(value, Link):
        return f"{value.node_id}.{value.slot}"
    if isinstance(value, str):
        return " ".join(value.split()) or '""'
    return json.dumps(value, ensure_ascii=False)


def input_names(places: Sequence[tuple[str, str]]) -> list[str]:
    """Names for inputs given as (node id, input): the input's own, or ``node.input`` if two share it."""
    count = Counter(name for _, name in places)
    return [name if count[name] == 1 else f"{node_id}.{name}" for node_id, name in places]


def slugs(labels: Iterable[str]) -> list[str]:
    """One name for each label, all different, made of letters, digits, ``.``, ``-`` and ``_``.

    A label is cut to 24 bytes; if that makes two equal, the position is appended to the later one.
    """
    found: dict[str, None] = {}
    for position, label in enumerate(labels, start=1):
        slug = _slug(label)
        while slug in found:
            slug += f"-{position}"
        found[slug] = None
    return list(found)


def _slug(label: str) -> str:
    if _NUMBER.fullmatch(label):
        return label
    name = _UNFIT_FOR_NAMES.sub("-", label)
    cut = name.encode()[:MAXIMUM_SLUG_BYTES].decode(errors="ignore")
    return cut.strip("-.") or "empty"
