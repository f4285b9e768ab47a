"""One invocation of the command: the workflow that runs, and where its pictures go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from run_graph.graph.workflow import Workflow
from run_graph.runtime.cli.mflux.destinations import destinations
from run_graph.runtime.cli.mflux.flags import Flags
from run_graph.runtime.cli.mflux.options import settings_given
from run_graph.runtime.formats.mflux.recipe import Recipe, recipe_of
from run_graph.runtime.formats.mflux.recorded import Recorded, read_recorded
from run_graph.runtime.formats.mflux.settings import Settings
from run_graph.runtime.formats.mflux.workflow import save_nodes, workflow_of


@dataclass(frozen=True)
class Invocation:
    """A workflow, and what the graph itself does not contain.

    Attributes
    ----------
    workflow : Workflow
    pictures : dict
        Id of each SaveImage node to the file that the user wants for its picture.
    output_folder : Path
        Where the run writes; all pictures go there or into a folder below.
    input_folders : tuple of Path
        Where relative names of pictures and LoRAs are looked for, in this order.
    recorded : Recorded
        The settings that came from a file rather than from flags.
    notes : tuple of str
        What the user should know although nothing is wrong, one sentence each.
    """

    workflow: Workflow
    pictures: dict[str, Path]
    output_folder: Path
    input_folders: tuple[Path, ...]
    recorded: Recorded
    notes: tuple[str, ...]


def invocation_of(flags: Flags) -> Invocation:
    """Turn the flags, and the settings that `--config-from-metadata` names, into an invocation.

    Raises
    ------
    CommandError
        If they cannot be honoured; the message names the flag or the key.
    """
    recorded = _recorded(flags.output.config_from_metadata)
    settings = settings_given(flags).over(recorded.settings)
    recipe = recipe_of(settings)
    places = destinations(flags.output.output, recipe)
    return Invocation(
        workflow=workflow_of(recipe, places.prefixes),
        pictures={node_id: places.paths[seed] for node_id, seed in save_nodes(recipe).items()},
        output_folder=places.folder,
        input_folders=(Path.cwd(), *recorded.folders),
        recorded=recorded,
        notes=tuple(_notes(settings, recipe)),
    )


def _recorded(path: Path | None) -> Recorded:
    return Recorded(Settings()) if path is None else read_recorded(path)


def _notes(settings: Settings, recipe: Recipe) -> list[str]:
    notes = []
    for name in ("width", "height"):
        asked, drawn = settings.parameters.get(name), recipe.parameters[name]
        if asked not in (None, drawn):
            notes.append(f"{name} {asked} is rounded down to {drawn}, a multiple of 16")
    if not recipe.references:
        notes.append("no reference pictures (--redux-image-paths): drawing from the prompt alone")
    return notes
