"""What the editor does with texts when it hands a workflow over: comments, choices, values of other nodes."""

from __future__ import annotations

import re
from collections.abc import Callable

_COMMENT = re.compile(r"/\*|//[^\n\r\u2028\u2029]*")
_SPECIAL = re.compile(r"[{}|]")
_OPENS_COMMENT = re.compile(r"/(?=[/*])")
_ESCAPED = re.compile(r"\\([{}|])")
_TOKEN = re.compile(r"%([^%]+)%")
_NOT_IN_FILE_NAMES = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')


def without_choices(text: str) -> tuple[str, bool]:
    r"""A prompt as the node gets it: comments stripped, and of each ``{a|b}`` the first choice.

    ComfyUI picks one at random each time; here a file means one thing. ``\{``, ``\|`` and ``\}`` stand for
    the characters themselves. A choice may have choices inside.

    Returns
    -------
    text, chose
        ``chose``: whether there was anything to choose from.
    """
    text = _without_comments(text)
    if "{" not in text and "\\" not in text:
        return text, False
    kept: list[str] = []
    open_blocks: list[bool] = []  # of each open block, whether its first choice is over
    skipped = 0  # how many of them
    chose = False
    index = 0
    while index < len(text):
        letter = text[index]
        index += 1
        if letter == "\\":
            letter += text[index : index + 1]
            index += 1
        elif letter == "{":
            open_blocks.append(False)
            continue
        elif letter == "}" and open_blocks:
            skipped -= open_blocks.pop()
            continue
        elif letter == "|" and open_blocks:
            skipped += not open_blocks[-1]
            open_blocks[-1] = chose = True
            continue
        if not skipped:
            kept.append(letter)
    return _ESCAPED.sub(r"\1", "".join(kept)), chose


def escaped(text: str) -> str:
    r"""A prompt that :func:`without_choices` makes this text of.

    Braces and bars get a backslash, and what would open a comment is broken by an empty choice: ``/{}/``.
    """
    return _OPENS_COMMENT.sub("/{}", _SPECIAL.sub(r"\\\g<0>", text))


def can_be_escaped(text: str) -> bool:
    r"""Whether a prompt can mean this text: one backslash before ``{``, ``|``, ``}`` or the end cannot."""
    backslashes = len(text) - len(text.rstrip("\\"))
    return backslashes % 2 == 0 and without_choices(escaped(text))[0] == text


def _without_comments(text: str) -> str:
    """The text without ``/* */`` and ``//``; what opens a comment that nothing closes is no comment."""
    kept: list[str] = []
    end, last = 0, text.rfind("*/")
    while (match := _COMMENT.search(text, end)) is not None:
        kept.append(text[end : match.start()])
        end = match.end()
        if match[0] == "/*" and end <= last:
            end = text.index("*/", end) + 2
        elif match[0] == "/*":
            kept.append("/*")
    return "".join(kept) + text[end:]


def with_widget_values(text: str, value_of: Callable[[str, str], object | None]) -> str:
    """A file name prefix with each ``%node.widget%`` replaced by the value of that widget.

    Characters that file names cannot have become ``_``. Other tokens, such as ``%date:yyyy%``, stay: they
    are replaced when the file is saved.

    Parameters
    ----------
    value_of : callable
        Takes the names of node and widget; None if there is no such widget.
    """

    def replaced(match: re.Match[str]) -> str:
        parts = match[1].split(".")
        value = value_of(parts[0], parts[1]) if len(parts) == 2 else None
        return match[0] if value is None else _NOT_IN_FILE_NAMES.sub("_", _as_text(value))

    return _TOKEN.sub(replaced, text)


def _as_text(value: object) -> str:
    """A widget's value as the browser writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
