"""What ``run-graph`` does about ``--sweep``, ``--zip`` and ``--contact-sheet``."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from graph.normal import normalised
from graph.registry import Registry
from graph.validation import check
from runtime.context import Surroundings
from runtime.files import SaveError, write_atomically
from runtime.sources import Source
from runtime.sweep.expansion import Sweep, expand
from runtime.sweep.settings import check_axes, read_axes

if TYPE_CHECKING:
    from runtime.contact_sheet.sheet import ContactSheet


def read_sweep(source: Source, arguments: Namespace, registry: Registry, surroundings: Surroundings) -> Sweep:
    """The workflow with all variants that the command line asks for.

    Raises
    ------
    WorkflowError
        If a ``--sweep`` cannot be read or, unless the workflow is only drawn, a value does not fit.
    """
    zipped = arguments.zip
    axes = read_axes(source, arguments.sweep, registry, zipped=zipped)
    if axes and (arguments.validate or not arguments.draw):
        targets = arguments.target or None
        check_axes(source.workflow, axes, registry, targets, surroundings, zipped=zipped)
    return expand(source.workflow, axes, registry, zipped=zipped)


def print_variants(sweep: Sweep) -> None:
    """Before the events, as a line of JSON: each variant's settings, and which nodes are its own."""
    variants = [
        {
            "label": variant.label,
            "settings": {
                axis.place: axis.labels[position]
                for axis, position in zip(sweep.axes, variant.choice, strict=True)
            },
            "nodes": {
                node_id: copies[number]
                for node_id, copies in sweep.copies.items()
                if copies[number] != node_id
            },
        }
        for number, variant in enumerate(sweep.variants)
    ]
    print(json.dumps({"event": "sweep", "variants": variants}, ensure_ascii=False), flush=True)


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
    path = arguments.contact_sheet
    if os.path.exists(path) and os.path.samefile(path, arguments.file):
        raise SaveError(f"--contact-sheet {path} would overwrite the workflow itself; name another file")
    from runtime.contact_sheet.sheet import ContactSheet

    return ContactSheet(sweep, registry, arguments.target)


def save_contact_sheet(
    sheet: ContactSheet, sweep: Sweep, arguments: Namespace, registry: Registry, surroundings: Surroundings
) -> None:
    """Write the sheet, replacing an older one, and say where it is."""
    checked = check(sweep.workflow, registry, sweep.targets(arguments.target) or None, surroundings)
    as_run = normalised(checked.nodes, checked.workflow)
    path = Path(arguments.contact_sheet)
    write_atomically(path, sheet.png(as_run, surroundings), overwrite=True)
    if arguments.json:
        print(json.dumps({"event": "contact_sheet", "path": str(path)}, ensure_ascii=False), flush=True)
    elif not arguments.quiet:
        print(path)
