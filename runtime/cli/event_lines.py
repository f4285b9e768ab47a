"""Results on standard output: a line of JSON for programs, or a text for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from run_graph.runtime.cli.options import ReportingOptions
from run_graph.runtime.cli.terminal import print_result


def print_event(event: Mapping[str, Any], text: str, reporting: ReportingOptions) -> None:
    """Print a result: the event with ``--json``, else the text, nothing if quiet."""
    if reporting.json:
        print_json(event)
    elif not reporting.quiet:
        print_result(text)


def print_path(event: str, path: Path, reporting: ReportingOptions) -> None:
    """Print the path of a file that was written: also if quiet."""
    if reporting.json:
        print_json({"event": event, "path": str(path)})
    else:
        print_result(str(path))


def print_json(event: Mapping[str, Any]) -> None:
    """Print an event as one line of JSON."""
    print_result(json.dumps(event, ensure_ascii=False))
