"""Pictures under mflux's names.

SaveImage numbers its files and writes the graph and the settings into them. As soon as one of its files has
been written, it becomes the file that the user asked for: the same PNG, a PNG without metadata, or a JPEG or
WebP with the settings in its EXIF comment. If asked for, a metadata file is written next to it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from run_graph.runtime.events import Event, NodeFinished, NodeReused
from run_graph.runtime.files.atomic import SaveError, write_atomically
from run_graph.runtime.images.png_text import read_text

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


class PictureNames:
    """A listener that gives finished pictures their names.

    Parameters
    ----------
    paths : mapping
        Id of each SaveImage node to the file that its picture is to become. If the file exists, ``_1``,
        ``_2``, ... is added to the name, as in mflux; nothing is overwritten.
    embed : bool
        Whether the picture keeps its metadata.
    sidecar : bool
        Whether to write the settings also to ``<name>.metadata.json``, as mflux does.

    Attributes
    ----------
    written : list of Path
        The pictures so far, in the order in which they were written.
    """

    def __init__(self, paths: Mapping[str, Path], *, embed: bool, sidecar: bool) -> None:
        self.paths = paths
        self.embed = embed
        self.sidecar = sidecar
        self.written: list[Path] = []

    def __call__(self, event: Event) -> None:
        # Reused: written by a run that was interrupted before the file could be renamed.
        if isinstance(event, NodeFinished | NodeReused) and event.node_id in self.paths:
            self._rename(Path(event.result["path"]), self.paths[event.node_id])

    def _rename(self, numbered: Path, path: Path) -> None:
        settings = read_text(numbered)["run_graph"]
        path = write_new(path, converted(numbered.read_bytes(), path.suffix, self.embed))
        numbered.unlink()
        if self.sidecar:
            text = json.dumps(json.loads(settings), indent=4, ensure_ascii=False)
            write_atomically(path.with_suffix(".metadata.json"), text.encode(), overwrite=True)
        self.written.append(path)


def converted(png: bytes, suffix: str, embed: bool) -> bytes:
    """The picture of a PNG in the format of the suffix, with its EXIF comment or without any metadata."""
    kind = _FORMATS[suffix.lower()]
    if kind == "PNG" and embed:
        return png
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        exif = {"exif": picture.info["exif"]} if embed and "exif" in picture.info else {}
        picture.save(buffer, kind, **exif)
    return buffer.getvalue()


def write_new(path: Path, data: bytes) -> Path:
    """Write to this path or, if it is taken, to the first free ``<name>_N``; return the path used."""
    for candidate in _candidates(path):
        try:
            write_atomically(candidate, data, overwrite=False)
            return candidate
        except SaveError:
            if not candidate.exists():  # the name is not taken: something else is wrong
                raise
    raise AssertionError("the candidates never end")


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    number = 1
    while True:
        yield path.with_stem(f"{path.stem}_{number}")
        number += 1
