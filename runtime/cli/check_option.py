"""What ``run-graph`` does for ``--check``: a verdict on each file, and what all of them lack."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from run_graph.graph.registry import Registry
from run_graph.graph.short_text import shortened
from run_graph.runtime.cli.files import read_file
from run_graph.runtime.cli.options import Options
from run_graph.runtime.cli.terminal import BAD_INPUT, DONE, print_result
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.formats.source import STANDARD_INPUT
from run_graph.runtime.formats.verdict import (
    Outcome,
    Verdict,
    counted,
    pack_name,
    unreadable,
    verdict_of,
)

SUFFIXES = (".json", ".png", ".webp")
"""The files that a folder is searched for."""


@dataclass
class Totals:
    """What all files of a check have in common."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    nodes: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)
    packs: dict[str, str | None] = field(default_factory=dict)
    without_workflow: int = 0

    def add(self, verdict: Verdict) -> None:
        """Count a file."""
        self.outcomes[verdict.outcome] += 1
        for each in verdict.missing:
            self.nodes[each.class_type] += each.nodes
            self.files[each.class_type] += 1
            self.packs[each.class_type] = self.packs.get(each.class_type) or each.pack

    def by_frequency(self) -> list[str]:
        """The missing classes: those of most files first, then those of most nodes."""
        return sorted(self.files, key=lambda name: (-self.files[name], -self.nodes[name], name))

    def lines(self) -> Iterator[str]:
        """One summary line, and the missing classes."""
        count = sum(self.outcomes.values())
        by_outcome: tuple[tuple[Outcome, str], ...] = (
            ("runs", "run"),
            ("runs with warnings", "run with warnings"),
            ("cannot run", "cannot run"),
        )
        parts = ", ".join(f"{self.outcomes[outcome]:,} {verb}" for outcome, verb in by_outcome)
        rest = counted(self.without_workflow, "picture")
        yield f"{counted(count, 'file')}: {parts}" + (
            f"; {rest} without a workflow" if self.without_workflow else ""
        )
        if self.files:
            yield "missing classes, most frequent first:"
        for name in self.by_frequency():
            pack = self.packs[name]
            where = f", {pack_name(pack)}" if pack else ""
            files, nodes = counted(self.files[name], "file"), counted(self.nodes[name], "node")
            yield f"  {name or '(no class_type)'}: {files}, {nodes}{where}"

    def to_json(self) -> dict[str, Any]:
        """The event at the end."""
        return {
            "event": "check_summary",
            "files": sum(self.outcomes.values()),
            "verdicts": dict(self.outcomes),
            "without_workflow": self.without_workflow,
            "missing_classes": [
                {
                    "class_type": name,
                    "files": self.files[name],
                    "nodes": self.nodes[name],
                    "pack": self.packs[name],
                }
                for name in self.by_frequency()
            ],
        }


def check_files(options: Options, registry: Registry) -> int:
    """Print a verdict on each file, then the totals. Returns 0 if all can run, else 2."""
    totals = Totals()
    for file, in_folder in _files(options.files):
        verdict = _verdict(file, options, registry)
        if in_folder and _has_no_workflow(file, verdict):
            totals.without_workflow += 1
            continue
        totals.add(verdict)
        name = STANDARD_INPUT if file == "-" else file
        lines = [f"{name}: {verdict.outcome}", *(f"  {line}" for line in verdict.lines())]
        _print({"event": "checked", "file": name, **verdict.to_json()}, lines, options)
    _print(totals.to_json(), totals.lines(), options)
    return BAD_INPUT if totals.outcomes["cannot run"] else DONE


def _files(given: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """The files, and whether each was found in a folder; a folder's are sorted by name."""
    for name in given:
        if name == "-" or not Path(name).is_dir():
            yield name, False
            continue
        for folder, folders, files in os.walk(name):
            folders.sort()
            for file in sorted(files):
                if file.lower().endswith(SUFFIXES) and not file.startswith("."):
                    yield os.path.join(folder, file), True


def _verdict(file: str, options: Options, registry: Registry) -> Verdict:
    try:
        source = read_file(file, registry, options.trial)
        return verdict_of(source, registry, RunEnvironment(source.folders, options.output))
    except Exception as error:  # one file must not stop the check of the others
        return unreadable(error)


def _has_no_workflow(file: str, verdict: Verdict) -> bool:
    """Whether a file is just a picture, as reference pictures in a folder are."""
    return not file.lower().endswith(".json") and any(
        reason.fault.code == "no_workflow" for reason in verdict.reasons
    )


def _print(event: Mapping[str, Any], lines: Iterable[str], options: Options) -> None:
    if options.reporting.json:
        print_result(json.dumps(event, ensure_ascii=False))
    elif not options.reporting.quiet:
        print_result("\n".join(map(shortened, lines)))
