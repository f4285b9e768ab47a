"""Keys of results: equal keys mean equal results, in every process.

A key is a Merkle hash: sha256 of the node's class, version and code, its literals (defaults filled in,
canonical JSON), own fingerprint and its parents' keys. Node ids, titles, key order and defaults that are
written out do not matter; one pass in topological order computes all keys.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from json.encoder import encode_basestring_ascii
from typing import Any

from run_graph.graph.code_digest import source_digest
from run_graph.graph.links import Link
from run_graph.graph.node import Node

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


def key_of(content: str) -> str:
    """The key of a result, in 64 hexadecimal digits.

    ``content`` is the node's text of its own with a line for each link, which names the producer's key and
    the slot.
    """
    return hashlib.sha256(content.encode()).hexdigest()


def link_line(name: str, source: str) -> str:
    """What a linked input adds to a node's text of its own: equal texts mean equal results.

    The lines of several stand in the order of their names (that of :func:`own_text_and_links`). ``source``
    tells the link's value from all others, without line breaks: the producer's key and the slot, or the
    value's digest.
    """
    return f"\n{name} <- {source}"


def own_text_and_links(node: Node, fingerprint: Any = None) -> tuple[str, dict[str, Link]]:
    """All that a node's result depends on: class, code, literals, ``fingerprint`` in one text, and its links.

    The links come in the order of their inputs' names and must have integer slots; ``fingerprint`` is what
    :meth:`graph.Node.fingerprint` returned.
    """
    heading, names = _of_class(type(node))
    values = node.__dict__
    text = f"{heading}\n{canonical(fingerprint)}"
    links: dict[str, Link] = {}
    for name in names:
        value = values[name]
        if isinstance(value, Link):
            links[name] = value
        else:
            # Canonical JSON holds no line breaks, so no literal can pass for a link or for another line.
            text += f"\n{name} = {canonical(value)}"
    return text, links


@cache
def _of_class(node_class: type[Node]) -> tuple[str, tuple[str, ...]]:
    """What names a class and its code, and its inputs in the order of their names."""
    heading = canonical([node_class.class_type, node_class.version, source_digest(node_class.__module__)])
    return heading, tuple(sorted(node_class.model_fields))
