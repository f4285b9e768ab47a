"""What ``run-graph`` does for ``--models``: lists the model files that it has found, and what they are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from run_graph.graph.faults import Fault, WorkflowError
from run_graph.runtime.cli.options import ReportingOptions
from run_graph.runtime.cli.terminal import print_message, print_result
from run_graph.runtime.errors import ModelError
from run_graph.runtime.models.library.contents import ModelFile, model_files
from run_graph.runtime.models.library.places import missing_places, places
from run_graph.runtime.units import bytes_text

_HEADINGS = ("kind", "family", "precision", "size", "path")


def list_models(reporting: ReportingOptions) -> None:
    """Print a row, or with ``--json`` an event, for each file, as soon as it has been looked at.

    Raises
    ------
    WorkflowError
        If what names folders cannot be read.
    """
    try:
        searched = list(dict.fromkeys(place.folder for place in places()))
        for named in missing_places():
            print_message(f"{named.path}, named in {named.origin}, is not there")
        found = list(model_files())
    except ModelError as error:
        raise WorkflowError([Fault("wrong_settings", str(error), "Correct it.")]) from error
    if reporting.json:
        for file in found:
            print_result(json.dumps({"event": "model", **file.to_json()}, ensure_ascii=False))
    elif found:
        print_result("\n".join(_table(found)))
    if not reporting.quiet:
        print_message(_summary(found, searched))


def _summary(found: Sequence[ModelFile], searched: Sequence[Path]) -> str:
    if not searched:
        return "no folder of models is named: see --models-dir"
    count = f"{len(found)} file{'' if len(found) == 1 else 's'}"
    total = bytes_text(sum(file.nbytes for file in found))
    return f"{count}, {total}, in {', '.join(map(_short, searched))}"


def _table(found: Sequence[ModelFile]) -> Iterator[str]:
    rows = [_HEADINGS, *(_row(file) for file in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row, note in zip(rows, ["", *(file.note for file in found)], strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[3] = row[3].rjust(widths[3])
        yield "  ".join(cells).rstrip()
        if note:
            yield f"  {note}"


def _row(file: ModelFile) -> tuple[str, ...]:
    size, path = bytes_text(file.nbytes), _short(file.file.path)
    return (file.kind, file.family, file.precision, size, path)


def _short(path: Path) -> str:
    """A path with the home folder as ``~``."""
    home, text = os.path.expanduser("~"), str(path)
    return "~" + text.removeprefix(home) if text.startswith(home + os.sep) else text
