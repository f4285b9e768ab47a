"""Files that the server has written, fetched into the output folder here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from run_graph.runtime.files.outputs import save_numbered
from run_graph.runtime.remote.api import ServerApi

_NUMBERED = re.compile(r"(?P<prefix>.+)_[0-9]{5,}_(?P<suffix>\.\w+)")
_PREVIEWS = "preview"  # where PreviewImage writes here; servers call it "temp"


def references_in(output: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """The files in the data of ``executed``: under ``images``, ``latents`` or another name."""
    for listed in output.values():
        for each in listed if isinstance(listed, list) else ():
            if isinstance(each, dict) and isinstance(each.get("filename"), str):
                yield {name: str(each.get(name, "")) for name in ("filename", "subfolder", "type")}


def fetch(api: ServerApi, reference: Mapping[str, str], folder: Path) -> Path:
    """Fetch a file into ``folder``, numbered there as a file that was made here.

    Raises
    ------
    ServerError
        If it is not on the server.
    SaveError
        If it cannot be written, or its name leads out of the folder.
    """
    content = api.view(reference)
    name = reference["filename"]
    match = _NUMBERED.fullmatch(name)
    stem, suffix = (match["prefix"], match["suffix"]) if match else os.path.splitext(name)
    parts = [_PREVIEWS if reference["type"] == "temp" else "", reference["subfolder"], stem]
    return save_numbered(folder, "/".join(filter(None, parts)), suffix, content)
