"""What ``run-graph`` does for ``--draw``."""

from __future__ import annotations

import json
from pathlib import Path

from run_graph.graph.draw import draw
from run_graph.graph.registry import Registry
from run_graph.runtime.cli.arguments import PRINTED_DRAWINGS
from run_graph.runtime.cli.combinations import STANDARD_OUTPUT
from run_graph.runtime.cli.files import FileJob
from run_graph.runtime.cli.options import ActionOptions
from run_graph.runtime.files.atomic import write_atomically
from run_graph.runtime.files.outputs import refuse_overwriting, require_writable


def write_drawing(job: FileJob, target: Path, registry: Registry) -> None:
    """Write the drawing in the format of the target's suffix. Raises SaveError."""
    refuse_overwriting(job.file, target, "--draw")
    require_writable(target.parent, "--draw")
    from run_graph.runtime.cli.draw_png import drawing

    write_atomically(target, drawing(job.sweep.workflow, registry, target.suffix), overwrite=True)


def printed_drawing(job: FileJob, actions: ActionOptions, registry: Registry, *, as_json: bool) -> str:
    """What ``--draw -`` prints; as JSON, an event with the drawing as ``text``."""
    name = actions.draw_format or PRINTED_DRAWINGS[0]
    text = draw(job.sweep.workflow, registry, f".{name}")
    if not as_json:
        return text.rstrip("\n")
    event = {"event": "drawing", "path": str(STANDARD_OUTPUT), "format": name, "text": text}
    return json.dumps(event, ensure_ascii=False)
