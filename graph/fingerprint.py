"""Keys of results: equal keys mean equal results, in every process.

A key is a Merkle hash: sha256 of the node's class, version and code, its literals (defaults filled in,
canonical JSON), own fingerprint and its parents' keys. Node ids, titles, key order and defaults that are
written out do not matter; one pass in topological order computes all keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from json.encoder import encode_basestring_ascii
from typing import Any

from graph.links import Link
from graph.node import Node
from graph.sources import source_digest

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
    if type(value) is str:
        return encode_basestring_ascii(value)
    return _ENCODER.encode(value)


def key_of(own: str, sources: Mapping[str, str]) -> str:
    """The key of the result of a node with this text of its own, in 64 hexadecimal digits.

    ``sources`` names by input the producer's key and the slot that the link reads.
    """
    return hashlib.sha256(content_of(own, sources).encode()).hexdigest()


def content_of(own: str, sources: Mapping[str, str]) -> str:
    """A node and what it reads, in one text: equal texts mean equal results.

    ``sources`` names by input what tells a link's value from all others, without line breaks: the
    producer's key and the slot, or the value's digest.
    """
    if not sources:
        return own
    return "\n".join([own, *[f"{name} <- {sources[name]}" for name in sorted(sources)]])


def own_text(node: Node, fingerprint: Any = None) -> str:
    """All that a node's result depends on except its links: class, code, literals, ``fingerprint``.

    The node's links must have integer slots; ``fingerprint`` is what :meth:`graph.Node.fingerprint` returned.
    """
    lines = [_heading(type(node)), canonical(fingerprint)]
    values = node.__dict__
    for name in _sorted_inputs(type(node)):
        value = values[name]
        # Canonical JSON holds no line breaks, so no literal can pass for a link or for another line.
        if not isinstance(value, Link):
            lines.append(f"{name} = {canonical(value)}")
    return "\n".join(lines)


@cache
def _heading(node_class: type[Node]) -> str:
    return canonical([node_class.class_type, node_class.version, source_digest(node_class.__module__)])


@cache
def _sorted_inputs(node_class: type[Node]) -> tuple[str, ...]:
    return tuple(sorted(node_class.model_fields))
