"""Messages stay short whatever they quote: an id of 100,000 characters, a text of megabytes."""

from __future__ import annotations

import re

_PIECE, _LINE = 300, 2000  # characters
_TAIL = 40
# What a message quotes, or else what has no space in it.
_LONG_PIECE = re.compile(rf"'[^'\n]{{{_PIECE},}}'|\"[^\"\n]{{{_PIECE},}}\"|[^\s'\"]{{{_PIECE},}}")


def shortened(line: str) -> str:
    """The line with its long pieces, and then itself, cut in the middle; a cut says how long the piece is.

    Examples
    --------
    >>> print(shortened(f"there is no node {'x' * 100_000!r}. Remove it.").replace("x" * 30, "x"))
    there is no node 'xxxxxxxxxxxxxxxxxxxxxxxx… (100,002 characters) …xxxxxxxxxx'. Remove it.
    """
    if len(line) <= _PIECE:
        return line
    line = _LONG_PIECE.sub(lambda found: _cut(found[0], 80, _TAIL), line)
    return line if len(line) <= _LINE else _cut(line, _LINE - 600, 500)


def _cut(text: str, head: int, tail: int) -> str:
    return f"{text[:head]}… ({len(text):,} characters) …{text[-tail:]}"
