"""Where output files go: numbered names in the output folder; existing files are never overwritten."""

from __future__ import annotations

import glob
import os
import tempfile
from functools import cache
from pathlib import Path

from run_graph.graph.faults import shorten
from run_graph.runtime.files.atomic import SaveError, explain_os_errors, flush_folder, publish
from run_graph.runtime.files.temporary import PREFIX as TEMPORARY
from run_graph.runtime.files.temporary import temporary_file

# What nearly all file systems take; "_00001_" and the suffix follow the prefix.
_NAME_BYTES, _COUNTER_BYTES = 255, 13

OWN_MARK = "run-graph contact sheet or drawing"
"""The text, under the PNG keyword Software, of files that --contact-sheet and --draw may replace."""


def refuse_overwriting(workflow: str | Path, target: str | Path, option: str) -> None:
    """Raise SaveError if ``target``, an option's value, is the workflow file itself or not our own picture.

    The workflow need not be a file: it may have come from standard input.
    """
    if not os.path.exists(target):
        return
    if os.path.isdir(target):
        raise SaveError(f"{option} {target} is a folder; name a file in it")
    if os.path.exists(workflow) and os.path.samefile(target, workflow):
        raise SaveError(f"{option} {target} would overwrite the workflow itself; name another file")
    if Path(target).suffix.lower() == ".png" and not _is_own_png(Path(target)):
        raise SaveError(
            f"{option} {target} would overwrite a picture that is not a contact sheet or drawing of "
            "run-graph; name another file, or delete it first"
        )


def _is_own_png(path: Path) -> bool:
    """Whether a PNG is a contact sheet or a drawing: it says so in a text chunk at its beginning."""
    try:
        with open(path, "rb") as file:
            beginning = file.read(4096)
    except OSError:
        return False
    return OWN_MARK.encode() in beginning


def save_numbered(folder: Path, prefix: str, suffix: str, data: bytes) -> Path:
    """Write `data` as ``<prefix>_<counter>_<suffix>`` in `folder`; never overwrite an existing file.

    The counter has at least five digits and is one above the highest number among files that begin with
    ``<prefix>_``, whatever their suffix; this is ComfyUI's rule. Two processes that save at the same time get
    different numbers.

    Parameters
    ----------
    folder : Path
        The output folder; created if missing.
    prefix : str
        File name without counter; may name subfolders with ``/`` or ``\\``. The caller expands tokens such
        as ``%year%`` first, with `runtime.files.prefix_tokens.expand_tokens`.
    suffix : str
        File extension with its dot, such as ``.png``.
    data : bytes
        The whole content.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    SaveError
        If the prefix is empty or points outside `folder`, or the system refuses the write.
    """
    parent, name = _split_prefix(folder, prefix)
    with (
        explain_os_errors(parent / f"{name}_*{suffix}", len(data)),
        temporary_file(parent, data) as temporary,
    ):
        counter = _next_counter(parent, name)
        while not publish(temporary, target := parent / f"{name}_{counter:05}_{suffix}"):
            counter += 1
        flush_folder(parent)
    return target


def numbered_files(folder: Path, prefix: str, suffix: str) -> list[Path]:
    """The files that `save_numbered` has written with this prefix and suffix. Raises SaveError as it does."""
    parent, name = _split_prefix(folder, prefix)
    return sorted(parent.glob(f"{glob.escape(name)}_*_{suffix}"))


def prefix_fault(prefix: str) -> str | None:
    """What is wrong with a file name prefix and how to fix it; None if it is valid."""
    parts = _parts(prefix)
    if not parts:
        return f"file name prefix {prefix!r} does not name a file; write a name such as 'picture'"
    if prefix.startswith(("/", "\\")) or ".." in parts or os.path.splitdrive(prefix)[0]:
        return (
            f"file name prefix {prefix!r} points outside the output folder; "
            "write a relative name without '..'"
        )
    if any(ord(character) < 32 or ord(character) == 127 for character in prefix.replace("\0", "")):
        return f"file name prefix {prefix!r} contains a line break or another control character; remove it"
    try:
        sizes = [len(os.fsencode(part)) for part in parts]
    except UnicodeEncodeError:
        return f"file name prefix {prefix!r} contains a character that file names cannot have; remove it"
    if max(*sizes, sizes[-1] + _COUNTER_BYTES) > _NAME_BYTES:
        return (
            f"file name prefix {shorten(prefix, 40)} is too long: with counter and suffix a name has at most "
            f"{_NAME_BYTES} bytes; shorten it"
        )
    if "\0" in prefix:
        return f"file name prefix {prefix!r} contains a NUL character; remove it"
    return None


def prefix_folder(folder: Path, prefix: str) -> Path:
    """The folder that `save_numbered` writes into; raises SaveError as it does."""
    return _split_prefix(folder, prefix)[0]


def folder_fault(folder: Path) -> str | None:
    """Why files cannot be written into `folder`, which need not exist yet; None if they can."""
    place = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.exists(place))
    if not place.is_dir():
        return f"cannot write into {folder}: {place} is a file"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"cannot write into {folder}: writing in {place} is not permitted"
    try:
        _try_to_write(place, place != folder.absolute())
    except OSError as error:
        return f"cannot write into {folder}: {error.strerror or error}"
    return None


def require_writable(folder: Path, option: str) -> None:
    """Raise SaveError, which names the option, if files cannot be written into ``folder``."""
    if fault := folder_fault(folder):
        raise SaveError(f"{option}: {fault}; choose another folder")


@cache
def _try_to_write(place: Path, as_folder: bool) -> None:
    """Make and remove a file or folder: permissions alone do not say it, as in /proc. Raises OSError."""
    if as_folder:
        os.rmdir(tempfile.mkdtemp(prefix=TEMPORARY, dir=place))
    else:
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=place)
        os.close(handle)
        os.unlink(name)


def _parts(prefix: str) -> list[str]:
    """The folders and the name in a prefix. Windows separators count: a workflow may come from Windows."""
    return [part for part in prefix.replace("\\", "/").split("/") if part not in ("", ".")]


def _split_prefix(folder: Path, prefix: str) -> tuple[Path, str]:
    """The folder that a prefix leads to and the name within it."""
    if fault := prefix_fault(prefix):
        raise SaveError(fault)
    *subfolders, name = _parts(prefix)
    root = Path(os.path.realpath(folder))
    parent = Path(os.path.realpath(root.joinpath(*subfolders)))
    if not parent.is_relative_to(root):
        raise SaveError(
            f"file name prefix {prefix!r} leads outside the output folder {root} through a symbolic link"
        )
    return Path(folder).joinpath(*subfolders), name


def _next_counter(folder: Path, name: str) -> int:
    """One above the highest number that follows ``<name>_`` in the folder's file names."""
    start = os.path.normcase(f"{name}_")
    names = (os.path.normcase(entry) for entry in os.listdir(folder))
    return 1 + max(
        (_leading_number(entry[len(start) :]) for entry in names if entry.startswith(start)), default=0
    )


def _leading_number(rest: str) -> int:
    """The number before the first ``_`` or ``.`` in the rest of a file name; 0 if it is not a number."""
    digits = rest.replace(".", "_").split("_", 1)[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else 0
