"""``@FILE`` in the place of a value: the text of a file, or of standard input (``@-``)."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from run_graph.graph.faults import Fault, WorkflowError, shorten
from run_graph.runtime.formats.source import STANDARD_INPUT, standard_input

MARK = "@"
MAXIMUM_BYTES = 16 * 2**20  # a novel is one megabyte


def names_file(text: str) -> bool:
    """Whether a value is written ``@FILE``; ``@@text`` is the text ``@text``."""
    return text.startswith(MARK) and not text.startswith(MARK * 2)


def literal(text: str) -> str:
    """A value that names no file, without the first of two ``@`` at its beginning."""
    return text.removeprefix(MARK) if text.startswith(MARK * 2) else text


def read_text(name: str, where: str) -> str:
    """The text of a file, without a byte-order mark and with ``\\n`` as line breaks.

    Parameters
    ----------
    name : str
        The path as typed, ``~`` for the home folder; ``-`` for standard input. Pipes are read, devices are
        not.
    where : str
        The option and the setting, with which messages begin.

    Raises
    ------
    WorkflowError
        If it cannot be read or is not UTF-8; says how to give a text that begins with ``@``.
    """
    shown = STANDARD_INPUT if name == "-" else shorten(name)
    try:
        data = _content(name)
        if len(data) > MAXIMUM_BYTES:
            raise _fault(f"{where}: {shown} is larger than {MAXIMUM_BYTES // 2**20} MiB", "Check the path.")
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        fix = f"Check the path; for the text itself write {MARK}{MARK} in place of {MARK}."
        raise _fault(f"{where}: there is no file {shown}", fix) from None
    except OSError as error:
        message = f"{where}: {shown} cannot be read: {error.strerror or error}"
        raise _fault(message, "Check the path and its permissions.") from None
    except UnicodeDecodeError as error:
        message = f"{where}: {shown} is not UTF-8 text (byte {error.start})"
        raise _fault(message, "Save it as UTF-8.") from None


def _content(name: str) -> bytes:
    if name == "-":
        return standard_input().read(MAXIMUM_BYTES + 1)
    if not name:
        raise FileNotFoundError
    path = Path(name).expanduser()
    if stat.S_ISCHR(path.stat().st_mode):
        raise OSError(errno.ENODEV, "it is a device")
    with open(path, "rb") as file:
        return file.read(MAXIMUM_BYTES + 1)


def _fault(message: str, fix: str) -> WorkflowError:
    return WorkflowError([Fault("unreadable", message, fix)])
