"""What ``run-graph`` does for ``--convert``, ``--export-ui`` and ``--export-comfyui``."""

from __future__ import annotations

import json
from pathlib import Path

from run_graph.graph.faults import WorkflowError
from run_graph.graph.formats.editor.export import exported
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow
from run_graph.runtime.cli.event_lines import print_event
from run_graph.runtime.cli.files import FileJob
from run_graph.runtime.cli.new_file import write_new_file
from run_graph.runtime.cli.options import ActionOptions, ReportingOptions
from run_graph.runtime.cli.terminal import print_message
from run_graph.runtime.formats.stock.export import stock_workflow


def convert(job: FileJob, actions: ActionOptions, registry: Registry, reporting: ReportingOptions) -> None:
    """Write the workflow of a file, with its settings, in the formats that are asked for.

    Raises
    ------
    WorkflowError
        If the workflow cannot be written in one of them.
    SaveError
        If there is a file of this name already, the workflow itself or another, or it cannot be written.
    """
    notes: list[str] = []
    if actions.convert:
        write_new_file("--convert", actions.convert, job.sweep.workflow.dumps())
    if actions.export_ui:
        notes += _write_editor_file("--export-ui", job, job.sweep.workflow, actions.export_ui, registry)
    if actions.export_comfyui:
        notes += _export_to_comfyui(job, actions.export_comfyui, registry)
    for path in actions.converts:
        print_event({"event": "converted", "path": str(path)}, str(path), reporting)
    if not reporting.quiet:
        for note in notes:
            print_message(f"{job.file}: {note}")


def _export_to_comfyui(job: FileJob, target: Path, registry: Registry) -> tuple[str, ...]:
    """Write the workflow with ComfyUI's nodes in place of our own."""
    try:
        made = stock_workflow(job.sweep.workflow, registry)
    except WorkflowError as error:
        raise error.in_file(job.file) from None
    return made.notes + _write_editor_file("--export-comfyui", job, made.workflow, target, registry)


def _write_editor_file(
    option: str, job: FileJob, workflow: Workflow, target: Path, registry: Registry
) -> tuple[str, ...]:
    """Write a file of ComfyUI's editor; returns what the editor may read differently."""
    try:
        made = exported(workflow, registry)
    except WorkflowError as error:
        raise error.in_file(job.file) from None
    write_new_file(option, target, json.dumps(made.document, ensure_ascii=False, indent=2) + "\n")
    return made.notes
