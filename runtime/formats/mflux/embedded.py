"""The workflow of a picture that carries settings but no graph: mflux's, or one saved as JPEG or WebP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from run_graph.graph.faults import Fault, WorkflowError
from run_graph.graph.workflow import Workflow
from run_graph.runtime.formats.mflux.errors import CommandError
from run_graph.runtime.formats.mflux.recipe import recipe_of
from run_graph.runtime.formats.mflux.recorded import folders_of, settings_from
from run_graph.runtime.formats.mflux.workflow import workflow_of


def workflow_of_settings(document: Mapping[str, Any], path: Path) -> tuple[Workflow, list[Path]]:
    """The workflow that a picture's settings mean, and where the files that it names are searched for.

    Parameters
    ----------
    document : mapping
        mflux's or run-graph's settings, as the picture's EXIF comment holds them.
    path : Path
        The picture.

    Raises
    ------
    WorkflowError
        If they are incomplete, or the picture was made in a way that run-graph does not have; names the key.
    """
    try:
        if missing := [key for key in ("prompt", "seed") if document.get(key) is None]:
            raise CommandError(f"the picture's settings lack {' and '.join(missing)}")
        recipe = recipe_of(settings_from(document))
    except CommandError as error:
        fix = (
            error.fix
            or "give a picture of mflux-generate or mflux-generate-redux, or one that run-graph saved"
        )
        raise WorkflowError([Fault("no_workflow", error.message, f"{fix[0].upper()}{fix[1:]}.")]) from None
    workflow = workflow_of(recipe, dict.fromkeys(recipe.seeds, path.stem))
    return workflow, [path.parent, *folders_of(document, path.parent)]
