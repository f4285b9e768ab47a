"""One invocation of the command: which workflow, and where its pictures go."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from run_graph.graph.workflow import Workflow
from run_graph.runtime.cli.mflux.destinations import destinations
from run_graph.runtime.cli.mflux.options import settings_given
from run_graph.runtime.formats.mflux.recipe import Recipe, recipe_of
from run_graph.runtime.formats.mflux.recorded import Recorded, read_recorded
from run_graph.runtime.formats.mflux.settings import Settings
from run_graph.runtime.formats.mflux.workflow import save_nodes, workflow_of


@dataclass(frozen=True)
class Job:
    """A workflow, and what the graph itself does not say.

    Attributes
    ----------
    workflow : Workflow
    pictures : dict
        Id of each SaveImage node to the file that the user wants its picture in.
    output_folder : Path
        Where the run writes; all pictures lie in it or below.
    input_folders : tuple of Path
        Where relative names of pictures and LoRAs are sought, in order.
    notes : tuple of str
        What the user should know although nothing is wrong.
    """

    workflow: Workflow
    pictures: dict[str, Path]
    output_folder: Path
    input_folders: tuple[Path, ...]
    notes: tuple[str, ...]


def job_of(arguments: Namespace) -> Job:
    """Turn parsed flags, and the file that `--config-from-metadata` names, into a job.

    Raises
    ------
    CommandError
        If they cannot be honoured; the message names the flag or the key.
    """
    recorded = _recorded(arguments)
    settings = settings_given(arguments).over(recorded.settings)
    recipe = recipe_of(settings)
    places = destinations(arguments.output, recipe)
    return Job(
        workflow=workflow_of(recipe, places.prefixes),
        pictures={node_id: places.paths[seed] for node_id, seed in save_nodes(recipe).items()},
        output_folder=places.folder,
        input_folders=(Path.cwd(), *recorded.folders),
        notes=tuple(_notes(settings, recipe)),
    )


def _recorded(arguments: Namespace) -> Recorded:
    path = arguments.config_from_metadata
    return Recorded(Settings()) if path is None else read_recorded(path)


def _notes(settings: Settings, recipe: Recipe) -> list[str]:
    notes = []
    for name in ("width", "height"):
        asked, drawn = settings.parameters.get(name), recipe.parameters[name]
        if asked not in (None, drawn):
            notes.append(f"{name} {asked} is rounded down to {drawn}, a multiple of 16")
    if not recipe.references:
        notes.append("without --redux-image-paths the prompt alone is drawn")
    return notes
