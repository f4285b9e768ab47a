"""Where pictures go: mflux's `--output` with its templates."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from run_graph.runtime.formats.mflux.errors import CommandError
from run_graph.runtime.formats.mflux.recipe import Recipe
from run_graph.runtime.images.formats import PICTURE_SUFFIXES


@dataclass(frozen=True)
class Destinations:
    """Where each seed's picture goes.

    Attributes
    ----------
    folder : Path
        The output folder of the run; all pictures go there or into a folder below.
    paths : dict
        Seed to the file that the user asked for.
    """

    folder: Path
    paths: dict[int, Path]

    @property
    def prefixes(self) -> dict[int, str]:
        """Seed to the `filename_prefix` that lets SaveImage write into the right folder."""
        return {
            seed: path.relative_to(self.folder).with_suffix("").as_posix()
            for seed, path in self.paths.items()
        }


def destinations(template: str, recipe: Recipe) -> Destinations:
    """Expand `--output` for each seed.

    ``{seed}`` and ``{redux_mode}`` are replaced. With several seeds and no ``{seed}``, ``_seed_N`` is
    inserted before the suffix, as in mflux.

    Raises
    ------
    CommandError
        If the template has another field, does not name a file, or names a format that cannot be written.
    """
    path = Path(template).expanduser()
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        known = ", ".join(PICTURE_SUFFIXES)
        raise CommandError(f"--output {template}: the name must end with one of {known}")
    if len(recipe.seeds) > 1 and "{seed}" not in template:
        path = path.with_stem(path.stem + "_seed_{seed}")
    mode = _mode(recipe)
    paths = {seed: Path(_expanded(str(path), template, seed, mode)) for seed in recipe.seeds}
    parents = {path.parent for path in paths.values()}
    if len(parents) == 1:
        return Destinations(parents.pop(), paths)
    absolute = {seed: Path(os.path.abspath(path)) for seed, path in paths.items()}
    return Destinations(Path(os.path.commonpath([path.parent for path in absolute.values()])), absolute)


def _mode(recipe: Recipe) -> str:
    """The mode of the reference pictures, or their modes joined with ``-``; `none` without pictures."""
    modes = dict.fromkeys(
        picture.mode if picture.factor is None else f"factor{picture.factor:g}"
        for picture in recipe.references
    )
    return "-".join(modes) or "none"


def _expanded(path: str, template: str, seed: int, mode: str) -> str:
    try:
        return path.format(seed=seed, redux_mode=mode)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise CommandError(
            f"--output {template}: only {{seed}} and {{redux_mode}} can be used ({error}); "
            "for a literal brace write {{ or }}"
        ) from None
