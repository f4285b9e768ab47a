"""Faults: what is wrong with a user's workflow, and how to fix it."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any

from run_graph.graph.short_text import shortened

_COMPARED = 500  # names that a misspelt one is compared with
_SHOWN = 50  # faults in a message; an error holds all of them


@dataclass(frozen=True, slots=True)
class Problem:
    """Something a node finds wrong with its own inputs (:meth:`graph.Node.check`).

    The attributes mean the same as those of :class:`Fault`.
    """

    input: str
    message: str
    fix: str
    found: Any = None
    expected: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, where it is, and how to fix it.

    Attributes
    ----------
    code : str
        A stable name; ComfyUI's if it has one (``required_input_missing``, ``value_not_in_list``).
    message : str
        What is wrong, in a sentence.
    node_id, class_type, input : str or None
        Where it is; all None if it concerns the whole file. A node that is created in Python has no id until
        it is added to a graph.
    found, expected : str or None
        The value found, and what would be accepted.
    fix : str
        What to do about it.
    """

    code: str
    message: str
    fix: str
    node_id: str | None = None
    class_type: str | None = None
    input: str | None = None
    found: str | None = None
    expected: str | None = None

    def at(self, node_id: str | None, class_type: str | None) -> Fault:
        """The same fault, located at a node."""
        return replace(self, node_id=node_id, class_type=class_type)

    def __str__(self) -> str:
        detail = "; ".join(
            part
            for part in (
                f"found {self.found}" if self.found is not None else "",
                f"expected {self.expected}" if self.expected is not None else "",
            )
            if part
        )
        message = self.message.rstrip(".") + (f" ({detail})" if detail else "")
        return shortened(f"{self._place()}{message}. {self.fix} [{self.code}]")

    def _place(self) -> str:
        parts = []
        if self.node_id is not None:
            parts.append(f"node {self.node_id!r}" + (f" ({self.class_type})" if self.class_type else ""))
        elif self.class_type:
            parts.append(self.class_type)
        if self.input:
            parts.append(f"input {self.input!r}")
        return f"{', '.join(parts)}: " if parts else ""


class WorkflowError(ValueError):
    """A workflow cannot run as it is written. Carries every fault that was found.

    Raised for files and for graphs built in Python alike: when a file is read or validated, when a node is
    created with a wrong value, and when it is added with a wrong link.

    Parameters
    ----------
    faults : sequence of Fault
        At least one.
    source : str, optional
        The file or other place that the workflow came from.
    """

    def __init__(self, faults: Sequence[Fault], source: str | None = None) -> None:
        self.faults = tuple(faults)
        self.source = source
        super().__init__(self._text())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.faults, self.source)  # not the text, which Exception would pass

    def _text(self) -> str:
        prefix = f"{self.source}: " if self.source else ""
        if len(self.faults) == 1:
            return f"{prefix}{self.faults[0]}"
        lines = [f"{prefix}{len(self.faults)} faults", *(f"  {fault}" for fault in self.faults[:_SHOWN])]
        if len(self.faults) > _SHOWN:
            lines.append(f"  and {len(self.faults) - _SHOWN:,} more (--json lists all)")
        return "\n".join(lines)

    def in_file(self, source: str) -> WorkflowError:
        """The same error with the name of the file."""
        return WorkflowError(self.faults, source)


class WorkflowErrors(Exception):
    """Several workflows of one run cannot run; each has its own error."""

    def __init__(self, errors: Sequence[WorkflowError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(map(str, errors)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.errors,)


def raise_all(errors: list[WorkflowError]) -> None:
    """Raise a single error as it is and several as a `WorkflowErrors`; do nothing if there are none.

    A single error is removed from the list: if its traceback led back to it, only the cycle collector would
    free it, with the run that it ends.
    """
    if len(errors) == 1:
        raise errors.pop()
    if errors:
        raise WorkflowErrors(errors)


class Names:
    """Known names, which many misspelt ones may be compared with.

    Only the first of these are, as many as a message shows: a workflow may have thousands of nodes and as
    many wrong links, and each comparison takes a walk through all names.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = known
        self._left = _SHOWN

    def suggestion(self, name: str, otherwise: str) -> str:
        """See :func:`suggestion`."""
        if not self._left:
            return otherwise
        self._left -= 1
        return suggestion(name, self._known, otherwise)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like ``name``, or None if none is similar enough.

    Among very many names only the first few that begin or end alike are compared: a workflow may have
    thousands of nodes and as many wrong links.
    """
    candidates = known if isinstance(known, Sized) and len(known) <= _COMPARED else _alike(name, known)
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.7)
    return by_folded[matches[0]] if matches else None


def _alike(name: str, known: Iterable[str]) -> Iterator[str]:
    start, end = name[:2].casefold(), name[-2:].casefold()
    alike = (each for each in known if each[:2].casefold() == start or each[-2:].casefold() == end)
    return itertools.islice(alike, _COMPARED)


def suggestion(name: str, known: Iterable[str], otherwise: str) -> str:
    """The fix for a misspelt name: the most similar known name, or else ``otherwise``."""
    near = nearest(name, known)
    return f"Did you mean {near!r}?" if near else otherwise


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Names for a message, separated by commas; beyond ``limit`` it says how many more there are."""
    every = list(names)
    more = f" and {len(every) - limit:,} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more


def shorten(value: Any, limit: int = 80) -> str:
    """A value as JSON (or else its repr), cut to ``limit`` characters so that a message stays on one line."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = " ".join(repr(value).split())
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    return text if len(text) <= limit else text[: limit - 1] + "…"
