"""Keys of results: equal keys mean equal results, in every process.

A key is a Merkle hash: sha256 of the node's class, version, literals (defaults filled in, canonical
JSON), own fingerprint and its parents' keys. Node ids, titles, key order and defaults that are written
out do not matter; one pass in topological order computes all keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from graph.links import Link
from graph.node import Node

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical(value: Any) -> str:
    """The one JSON spelling of a value: sorted keys, no spaces, shortest round-trip floats.

    Raises
    ------
    TypeError, ValueError
        If the value is no JSON value, or NaN or infinite.
    """
    if value is None:
        return "null"
    if type(value) is int:  # the common cases, without the encoder's start-up cost
        return repr(value)
    return _ENCODER.encode(value)


def node_key(node: Node, parents: Mapping[str, str], fingerprint: Any = None) -> str:
    """The key of a node's result.

    Parameters
    ----------
    node : Node
        Its links must have integer slots.
    parents : mapping
        Key of each node that a link names, by node id.
    fingerprint : JSON value, optional
        What :meth:`graph.Node.fingerprint` returned.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    lines = [_heading(type(node)), canonical(fingerprint)]
    for name, value in sorted(node.__dict__.items()):
        # Canonical JSON holds no line breaks, so no literal can pass for a link or for another line.
        if isinstance(value, Link):
            lines.append(f"{name} <- {parents[value.node_id]} {value.slot}")
        else:
            lines.append(f"{name} = {canonical(value)}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@cache
def _heading(node_class: type[Node]) -> str:
    return canonical([node_class.class_type, node_class.version])
