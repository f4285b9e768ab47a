"""Which Python values a workflow file can hold."""

from __future__ import annotations

import json
import math
from typing import Any

from run_graph.graph.faults import shorten

_SCALARS = frozenset({int, float, str, bool, type(None)})


def bad_json_value(value: Any) -> str | None:
    """What is wrong with a value of Python's JSON reader, which reads more than files may hold.

    None if nothing is. NaN, infinities and text that is not UTF-8 are wrong, at any depth.
    """
    pending = [value]
    for each in pending:  # grows while it is walked
        if isinstance(each, dict):
            pending += [*each, *each.values()]
        elif isinstance(each, list):
            pending += each
        elif isinstance(each, float) and not math.isfinite(each):
            return f"{json.dumps(each)} is not a finite number"
        elif isinstance(each, str) and not _can_be_encoded(each):
            return "the text contains half a character (a lone surrogate), so it was cut in the middle of one"
    return None


def not_for_a_file(value: Any) -> str | None:
    """Why a Python value cannot be written into a workflow file and read again; None if it can."""
    if type(value) in _SCALARS:  # most values
        return bad_json_value(value)
    try:
        read_again = json.loads(json.dumps(value))
    except (TypeError, ValueError, RecursionError) as error:  # of another type, or within itself
        return f"the value cannot be written in a workflow file: {error}"
    return bad_json_value(read_again) or (
        None if read_again == value else f"a workflow file would turn the value into {shorten(read_again)}"
    )


def _can_be_encoded(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
