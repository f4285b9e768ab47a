"""Keys of results: equal keys mean equal results, in every process.

A key is a Merkle hash: sha256 of the node's class, version, literals (defaults filled in, canonical
JSON), own fingerprint and its parents' keys. Node ids, titles, key order and defaults that are written
out do not matter; one pass in topological order computes all keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from graph.links import Link
from graph.node import Node


def canonical(value: Any) -> str:
    """The one JSON spelling of a value: sorted keys, no spaces, shortest round-trip floats.

    Raises
    ------
    TypeError, ValueError
        If the value is no JSON value, or NaN or infinite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


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
    inputs = {
        name: {"link": [parents[value.node_id], value.slot]} if isinstance(value, Link) else [value]
        for name, value in node.__dict__.items()
    }
    text = canonical([node.class_type, node.version, inputs, fingerprint])
    return hashlib.sha256(text.encode("ascii")).hexdigest()
