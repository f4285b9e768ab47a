"""What the nodes that write pictures share. It has no nodes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from run_graph.graph import Context, Effect, Environment, Field, Problem
from run_graph.graph.workflow import Workflow
from run_graph.runtime.files.atomic import SaveError
from run_graph.runtime.files.outputs import folder_fault, prefix_folder
from run_graph.runtime.files.prefix_tokens import expand_tokens, token_fault
from run_graph.runtime.files.recorded_names import shareable
from run_graph.runtime.files.save_once import save_once
from run_graph.runtime.images.formats import MetadataKept, SavedFormat, suffix_of
from run_graph.runtime.images.metadata import Settings, generation_settings, picture_metadata
from run_graph.runtime.values import Image

Describe = Callable[[int], Mapping[str, Settings]]
"""What each picture of a batch says about itself, by its index."""

PREVIEWS = "preview/ComfyUI"
"""The file name prefix of previews."""

PATHS: Any = Field(description="All files written, a list of texts, in the order of the pictures.")
"""The declaration of the output `paths`."""


class PictureWriter:
    """What nodes that write pictures have in common, beside :class:`graph.Node`.

    The outputs `path` and `paths` name the files (:func:`written`). The prefix is the input
    `filename_prefix`, or that of previews.
    """

    is_output: ClassVar[bool] = True
    runs_in_background: ClassVar[bool] = True

    @property
    def _prefix(self) -> Any:
        return getattr(self, "filename_prefix", PREVIEWS)

    def check(self, env: Environment) -> Iterable[Problem]:
        folder = env.output_directory
        if isinstance(self._prefix, str):  # not a link
            try:
                folder = prefix_folder(folder, self._prefix)
            except SaveError as error:
                yield Problem("filename_prefix", str(error), "Name a place inside the output folder.")
            if fault := token_fault(self._prefix):
                yield Problem("filename_prefix", fault, "Correct the token, or leave out the percent signs.")
        fault = folder_fault(folder)
        if fault is not None:
            yield Problem("filename_prefix", fault, "Choose another output folder (--output).")

    def fingerprint(self, env: Environment) -> Any:
        return os.path.abspath(env.output_directory)  # a file in another folder is no substitute

    def effects(self, env: Environment) -> Iterable[Effect]:
        known = isinstance(self._prefix, str)
        folder = env.output_directory
        yield Effect("write", str(prefix_folder(folder, self._prefix) if known else folder))

    def is_still_valid(self, outputs: Any) -> bool:
        return all(map(os.path.isfile, outputs.paths))


def written(paths: Sequence[Path]) -> dict[str, Any]:
    """The outputs `path` and `paths` of a node that has written these files."""
    names = [str(path) for path in paths]
    return {"path": names[0] if names else "", "paths": names}


def expanded(ctx: Context, images: Image, prefix: str) -> str:
    """A file name prefix with its tokens replaced."""
    if "%" not in prefix:
        return prefix
    _, height, width, _ = images.shape
    return expand_tokens(prefix, width=width, height=height, graph=ctx.provenance()["prompt"])


def describer(
    ctx: Context, images: Image, prefix: str, kept: MetadataKept = "all", name: str = "images"
) -> Describe:
    """What pictures say that are saved under an expanded prefix; `name` is the input they came through."""
    if kept == "none":
        return lambda index: {}
    provenance = ctx.provenance()
    folder = prefix_folder(ctx.output_directory, prefix)
    differences = _not_in_settings(images, provenance, name)

    def describe(index: int) -> Mapping[str, Settings]:
        own = picture_metadata(images, provenance, index, differences)
        if kept == "settings":
            return {"run_graph": shareable(own, folder)["run_graph"]}
        return shareable({**provenance.get("documents", {}), **own}, folder)

    return describe


def encoded(
    ctx: Context, images: Image, describe: Describe, saved: SavedFormat = "png", quality: int = 90
) -> list[bytes]:
    """Each picture of a batch as a file; what it could not keep is warned of."""
    from run_graph.runtime.images.writing import encode

    repeat_warnings(ctx, images)
    pictures = [
        encode(images.eight_bit(index), saved, describe(index), quality) for index in range(images.shape[0])
    ]
    for left_out in dict.fromkeys(name for picture in pictures for name in picture.left_out):
        ctx.warn(_LEFT_OUT[left_out])
    return [picture.data for picture in pictures]


def repeat_warnings(ctx: Context, images: Image) -> None:
    """Warn again of what was found when pictures were sampled: that node may not have run this time."""
    for warning in images.generation.warnings if images.generation else ():
        ctx.warn(warning)


def save_previews(ctx: Context, **inputs: Image) -> list[Path]:
    """Write the pictures of these inputs into the folder of previews."""
    contents = [
        content
        for name, images in inputs.items()
        for content in encoded(ctx, images, describer(ctx, images, PREVIEWS, name=name))
    ]
    return save_once(ctx, PREVIEWS, suffix_of("png"), contents)


_TOO_LONG = (
    "{} of this picture cannot be kept in it: a JPEG file has room for 64 KB of metadata; save as png, webp "
    "or avif to keep all of it"
)
_LEFT_OUT = {
    "workflow": _TOO_LONG.format("the editor's workflow"),
    "prompt": _TOO_LONG.format("the graph"),
    "run_graph": _TOO_LONG.format("the settings"),
    "alpha": "a JPEG file has no transparency: this picture's was left out; save as png, webp or avif to "
    "keep it",
}


def _not_in_settings(image: Image, provenance: Mapping[str, Any], name: str) -> list[str]:
    """What of the graph that made a picture its settings cannot express."""
    if image.generation is None:
        return []
    from run_graph.runtime.formats.mflux.coverage import not_in_settings

    graph = provenance["prompt"]
    saved = Workflow.from_json({"": graph[provenance["node_id"]]}).nodes[""].inputs[name]
    return not_in_settings(graph, saved, generation_settings(image.generation))
