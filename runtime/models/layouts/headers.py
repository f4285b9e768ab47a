"""The header of a file of weights, of either format that is read."""

from __future__ import annotations

from pathlib import Path

from run_graph.runtime.files.regular import open_regular
from run_graph.runtime.models.inspection import Header, read_header
from run_graph.runtime.models.layouts.gguf_file import MAGIC, read_gguf_header


def is_gguf(path: Path) -> bool:
    """Whether a file is a GGUF file, by its first bytes. Raises OSError."""
    with open_regular(path) as file:
        return file.read(len(MAGIC)) == MAGIC


def model_header(path: Path) -> Header:
    """The header of a safetensors or GGUF file.

    Raises
    ------
    OSError
        If it cannot be read, or is a pipe or a device.
    ValueError
        If it is neither, is damaged or cut short. The message is a complete sentence.
    """
    with open_regular(path) as file:
        if file.read(len(MAGIC)) == MAGIC:
            file.seek(0)
            return read_gguf_header(file, path)
    return read_header(path)
