"""What ``run-graph`` does about ``--contact-sheet``."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.files.atomic import write_atomically
from run_graph.runtime.files.outputs import refuse_overwriting
from run_graph.runtime.sweep.expansion import Sweep

if TYPE_CHECKING:
    from run_graph.runtime.contact_sheet.sheet import ContactSheet


def make_contact_sheet(sweep: Sweep, arguments: Namespace, registry: Registry) -> ContactSheet | None:
    """The sheet that is asked for, to be told of the run's events.

    Raises
    ------
    SaveError
        If it would overwrite the workflow file.
    WorkflowError
        If there is no picture to show.
    """
    if not arguments.contact_sheet:
        return None
    refuse_overwriting(arguments.file, arguments.contact_sheet, "--contact-sheet")
    from run_graph.runtime.contact_sheet.sheet import ContactSheet

    return ContactSheet(sweep, registry, arguments.target)


def save_contact_sheet(
    sheet: ContactSheet, as_run: Workflow, arguments: Namespace, environment: RunEnvironment
) -> None:
    """Write the sheet, replacing an older one, and say where it is."""
    path = Path(arguments.contact_sheet)
    write_atomically(path, sheet.png(as_run, environment), overwrite=True)
    if arguments.json:
        print(json.dumps({"event": "contact_sheet", "path": str(path)}, ensure_ascii=False), flush=True)
    elif not arguments.quiet:
        print(path)
