"""Keys of results: equal keys mean equal results, in every process.

A key is a Merkle hash: the sha256 of the node's class, version and code, its literals (as canonical JSON,
defaults filled in), its fingerprint, and the keys of the nodes that it is linked to. Node ids, titles, the
order of inputs, and whether a default is written out do not matter. One pass in topological order computes
all keys.
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
    """The canonical JSON of a value: sorted keys, no spaces, shortest round-trip floats.

    Raises
    ------
    TypeError, ValueError
        If the value is not a JSON value, or is NaN or infinite.
    """
    if value is None:
        return "null"
    if type(value) is int:  # the common cases, without the encoder's start-up cost
        return repr(value)
    if type(value) is str:
        return encode_basestring_ascii(value)
    return _ENCODER.encode(value)


def key_of(text: str) -> str:
    """The key of a result: 64 hexadecimal digits.

    ``text`` is the node's own text followed by a line for each link (:func:`link_line`), with the key of
    the node that it comes from and the slot.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def link_line(name: str, source: str) -> str:
    """The line that a linked input adds to a node's own text; equal texts mean equal results.

    The lines of several inputs are in the order of their names, as :func:`own_text_and_links` returns them.
    ``source`` identifies the value of the link and has no line breaks: the key and slot of the node that it
    comes from, or the digest of the value.
    """
    return f"\n{name} <- {source}"


def own_text_and_links(node: Node, fingerprint: Any = None) -> tuple[str, dict[str, Link]]:
    """Everything that a node's result depends on: a text of class, code, literals and fingerprint; its links.

    The links are in the order of their inputs' names and must have integer slots. ``fingerprint`` is what
    :meth:`graph.Node.fingerprint` returned.
    """
    heading, names = _heading_and_inputs(type(node))
    values = node.__dict__
    text = f"{heading}\n{canonical(fingerprint)}"
    links: dict[str, Link] = {}
    for name in names:
        value = values[name]
        if isinstance(value, Link):
            links[name] = value
        else:
            # Canonical JSON has no line breaks, so no literal can be mistaken for a link or another line.
            text += f"\n{name} = {canonical(value)}"
    return text, links


@cache
def _heading_and_inputs(node_class: type[Node]) -> tuple[str, tuple[str, ...]]:
    """A text that identifies a class and its code, and the names of its inputs, sorted."""
    heading = canonical([node_class.class_type, node_class.version, source_digest(node_class.__module__)])
    return heading, tuple(sorted(node_class.model_fields))
