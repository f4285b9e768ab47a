"""Pictures under mflux's names.

SaveImage numbers its files and writes the graph and the settings into them. As soon as one of its files has
been written, it becomes the file that the user asked for: the same PNG, or a picture in the format that the
name asks for, with the same metadata or none. If asked for, a metadata file is written next to it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from run_graph.runtime.cli.mflux.arguments import PROGRAM
from run_graph.runtime.cli.terminal import print_message
from run_graph.runtime.events import Event, FileSaved, NodeReused
from run_graph.runtime.files.atomic import SaveError, write_atomically
from run_graph.runtime.images.formats import SUFFIXES
from run_graph.runtime.images.metadata import Settings
from run_graph.runtime.images.png_text import read_text
from run_graph.runtime.images.writing import EncodedPicture, encode


class PictureNames:
    """A listener that gives finished pictures their names.

    Parameters
    ----------
    paths : mapping
        Id of each SaveImage node to the file that its picture is to become. If the file exists, ``_1``,
        ``_2``, ... is added to the name, as in mflux; nothing is overwritten.
    announce : callable
        Gets the path of each picture once it is written.
    embed : bool
        Whether the picture keeps its metadata.
    sidecar : bool
        Whether to write the settings also to ``<name>.metadata.json``, as mflux does.
    """

    def __init__(
        self, paths: Mapping[str, Path], announce: Callable[[str], None], *, embed: bool, sidecar: bool
    ) -> None:
        self.paths = paths
        self.announce = announce
        self.embed = embed
        self.sidecar = sidecar

    def __call__(self, event: Event) -> None:
        if isinstance(event, FileSaved) and event.node_id in self.paths:
            self._rename(Path(event.path), self.paths[event.node_id])
        # Written by a run that was interrupted before the files could be renamed.
        elif isinstance(event, NodeReused) and event.node_id in self.paths:
            for path in event.result["paths"]:
                self._rename(Path(path), self.paths[event.node_id])

    def _rename(self, numbered: Path, path: Path) -> None:
        documents = {name: json.loads(text) for name, text in read_text(numbered).items()}
        picture = converted(numbered.read_bytes(), path.suffix, documents if self.embed else {})
        if picture.left_out:
            lost = _LEFT_OUT[len(picture.left_out)]
            print_message(f"warning: {path}: a JPEG file has room for 64 KB of metadata; {lost}", PROGRAM)
        path = write_new(path, picture.data)
        numbered.unlink()
        if self.sidecar:
            text = json.dumps(documents["run_graph"], indent=4, ensure_ascii=False)
            write_atomically(path.with_suffix(".metadata.json"), text.encode(), overwrite=True)
        self.announce(str(path))


_LEFT_OUT = {
    1: "the file for ComfyUI's editor was left out",
    2: "the graph was left out",
    3: "graph and settings were left out",
}


def converted(data: bytes, suffix: str, documents: Mapping[str, Settings]) -> EncodedPicture:
    """The picture of SaveImage's PNG in the format of the suffix, carrying these documents."""
    saved = SUFFIXES[suffix.lower()]
    if saved == "png" and documents:
        return EncodedPicture(data)
    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        return encode(np.asarray(picture.convert("RGB")), saved, documents)


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
