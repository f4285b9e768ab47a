"""Pictures under mflux's names.

SaveImage numbers its files and puts the graph and the settings into them. Each of its files is turned
into the one that the user asked for as soon as it is written: the very same PNG, or one without metadata,
or a JPEG or WebP that keeps the settings in its EXIF comment; with a sidecar beside it where wanted.
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
    wanted : mapping
        Id of each SaveImage node to the file that its picture is to become. A file that exists stays, and
        ``_1``, ``_2``, ... is put behind the name, as mflux does.
    embed : bool
        Whether the picture keeps its metadata.
    sidecar : bool
        Whether to write the settings to ``<name>.metadata.json`` too, where mflux has them.

    Attributes
    ----------
    written : list of Path
        The pictures so far, in the order of their making.
    """

    def __init__(self, wanted: Mapping[str, Path], *, embed: bool, sidecar: bool) -> None:
        self.wanted = wanted
        self.embed = embed
        self.sidecar = sidecar
        self.written: list[Path] = []

    def __call__(self, event: Event) -> None:
        # Reused: written by a run that was broken off before it could be renamed.
        if isinstance(event, NodeFinished | NodeReused) and event.node_id in self.wanted:
            self._rename(Path(event.result["path"]), self.wanted[event.node_id])

    def _rename(self, made: Path, wanted: Path) -> None:
        settings = read_text(made)["run_graph"]
        path = write_beside(wanted, converted(made.read_bytes(), wanted.suffix, self.embed))
        made.unlink()
        if self.sidecar:
            text = json.dumps(json.loads(settings), indent=4, ensure_ascii=False)
            write_atomically(path.with_suffix(".metadata.json"), text.encode(), overwrite=True)
        self.written.append(path)


def converted(png: bytes, suffix: str, embed: bool) -> bytes:
    """A PNG's picture in the format that the suffix names, with its EXIF comment or without any metadata."""
    kind = _FORMATS[suffix.lower()]
    if kind == "PNG" and embed:
        return png
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        exif = {"exif": picture.info["exif"]} if embed and "exif" in picture.info else {}
        picture.save(buffer, kind, **exif)
    return buffer.getvalue()


def write_beside(wanted: Path, data: bytes) -> Path:
    """Write under this name, or the first free one of mflux's alternatives; never over a file."""
    for path in _alternatives(wanted):
        try:
            write_atomically(path, data, overwrite=False)
            return path
        except SaveError:
            if not path.exists():  # something else is wrong than that the name is taken
                raise
    raise AssertionError("the alternatives never end")


def _alternatives(path: Path) -> Iterator[Path]:
    yield path
    number = 1
    while True:
        yield path.with_stem(f"{path.stem}_{number}")
        number += 1
