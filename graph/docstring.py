"""Docstrings of node classes: what the author wrote, followed by the descriptions of the inputs.

So ``help(LoadImage)`` and editors explain each input.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping

_HEADING = "\n\nInputs\n------\n"


def with_inputs(doc: str, descriptions: Mapping[str, str]) -> str:
    """The docstring of a node class with its inputs' descriptions, by name, below it."""
    listed = "\n".join(f"{name}\n    {text}" for name, text in descriptions.items())
    return f"{inspect.cleandoc(doc)}{_HEADING}{listed}" if listed else doc


def without_inputs(doc: str) -> str:
    """What the author wrote."""
    return inspect.cleandoc(doc.partition(_HEADING)[0])
