"""Opening files that somebody else named: a pipe or a device is refused instead of waited for."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


class NotRegularError(OSError):
    """What should be a file is something else; the message names the path and says what it is."""


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a file for reading; links are followed. Never waits, as opening a pipe does.

    Raises
    ------
    NotRegularError
        If it is no regular file.
    OSError
        If it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind != stat.S_IFREG:
            raise NotRegularError(f"{os.fspath(path)} is {_KINDS.get(kind, 'no file')}, not a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path) -> bytes:
    """A file's content. Raises as `open_regular`."""
    with open_regular(path) as file:
        return file.read()
