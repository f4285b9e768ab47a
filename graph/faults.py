"""Faults: what is wrong with a user's workflow, said so that the user can fix it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """What a node finds wrong with its own parameters (:meth:`graph.Node.check`)."""

    input: str
    message: str
    fix: str
    found: Any = None
    expected: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, where, and the fix.

    Attributes
    ----------
    code : str
        Stable name; ComfyUI's where it has one (``required_input_missing``, ``value_not_in_list``).
    message : str
        What is wrong, in a sentence.
    node_id, class_type, input : str or None
        Where; None if it concerns the whole file.
    found, expected : str or None
        What was there and what fits.
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

    def at(self, node_id: str, class_type: str | None) -> Fault:
        """The same fault, placed at a node."""
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
        return f"{self._place()}{message}. {self.fix} [{self.code}]"

    def _place(self) -> str:
        parts = []
        if self.node_id is not None:
            parts.append(f"node {self.node_id!r}" + (f" ({self.class_type})" if self.class_type else ""))
        if self.input:
            parts.append(f"input {self.input!r}")
        return f"{', '.join(parts)}: " if parts else ""


class WorkflowError(Exception):
    """A workflow that cannot run as it is written. Carries every fault that was found.

    Parameters
    ----------
    faults : sequence of Fault
        At least one.
    source : str, optional
        The file (or other origin) that the workflow came from.
    """

    def __init__(self, faults: Sequence[Fault], source: str | None = None) -> None:
        self.faults = tuple(faults)
        self.source = source
        super().__init__(self._text())

    def _text(self) -> str:
        prefix = f"{self.source}: " if self.source else ""
        if len(self.faults) == 1:
            return f"{prefix}{self.faults[0]}"
        lines = [f"{prefix}{len(self.faults)} faults"]
        return "\n".join([*lines, *(f"  {fault}" for fault in self.faults)])

    def in_file(self, source: str) -> WorkflowError:
        """The same error, naming the file."""
        return WorkflowError(self.faults, source)


class WorkflowErrors(Exception):
    """Several workflows that were to run together and cannot, each with its own error."""

    def __init__(self, errors: Sequence[WorkflowError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(map(str, errors)))


def raise_all(errors: Sequence[WorkflowError]) -> None:
    """Raise the one error, or several as a `WorkflowErrors`; nothing if there are none."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise WorkflowErrors(errors)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that ``name`` was probably meant to be, if any is near."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.7)
    return by_folded[matches[0]] if matches else None


def suggestion(name: str, known: Iterable[str], otherwise: str) -> str:
    """A fix for a misspelt name: the nearest known one, or else the given advice."""
    near = nearest(name, known)
    return f"Did you mean {near!r}?" if near else otherwise


def shorten(value: Any, limit: int = 80) -> str:
    """A value as JSON (or its repr), cut so that one message stays one line."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = " ".join(repr(value).split())
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    return text if len(text) <= limit else text[: limit - 1] + "…"
