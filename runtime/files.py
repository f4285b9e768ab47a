"""Files in and out: finding inputs, naming outputs, and writing so that no half-written file is ever seen.

A file is written beside its destination under a temporary name, flushed to the disk, and then published in
one step. Whatever interrupts that, the destination holds the old content, the new, or does not exist.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import glob
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from runtime.temporary import temporary_file

_OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class SaveError(OSError):
    """A file could not be written; the message names the file, the cause and the mend."""


class InputNotFoundError(FileNotFoundError):
    """A named input file is in none of the folders searched; the message names them."""


def write_atomically(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Write `data` to `path` completely or not at all.

    Parameters
    ----------
    path : Path
        The destination. Missing parent folders are made. A symbolic link is written through.
    data : bytes
        The whole content.
    overwrite : bool
        Whether an existing file is replaced; otherwise it is an error and stays as it is.

    Raises
    ------
    SaveError
        If the file exists and `overwrite` is false, or the system refuses the write.
    """
    target = Path(os.path.realpath(path)) if overwrite else Path(path)
    with _refusals_explained(target, len(data)), temporary_file(target.parent, data) as temporary:
        if overwrite:
            os.replace(temporary, target)
        elif not _publish(temporary, target):
            raise SaveError(f"{target} exists already; choose another name or allow overwriting")
        _flush_folder(target.parent)


def refuse_overwriting(workflow: str | Path, target: str | Path, option: str) -> None:
    """Raise SaveError if the file that ``option`` names, ``target``, is the workflow's own."""
    if os.path.exists(target) and os.path.samefile(target, workflow):
        raise SaveError(f"{option} {target} would overwrite the workflow itself; name another file")


def save_numbered(folder: Path, prefix: str, suffix: str, data: bytes) -> Path:
    """Write `data` as ``<prefix>_<counter>_<suffix>`` in `folder`, never over an existing file.

    The counter has five digits or more and is one above the highest of the files that begin with
    ``<prefix>_``, whatever their suffix, which is ComfyUI's rule. Two processes that save at once get two
    numbers.

    Parameters
    ----------
    folder : Path
        The output folder; made if missing.
    prefix : str
        File name without counter; may name subfolders with ``/`` or ``\\``. Tokens such as ``%year%`` are
        the caller's to expand with `runtime.names.expand_tokens`.
    suffix : str
        Such as ``.png``.
    data : bytes
        The whole content.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    SaveError
        If the prefix is empty or leaves `folder`, or the system refuses the write.
    """
    parent, name = _split_prefix(folder, prefix)
    with (
        _refusals_explained(parent / f"{name}_*{suffix}", len(data)),
        temporary_file(parent, data) as temporary,
    ):
        counter = _next_counter(parent, name)
        while not _publish(temporary, target := parent / f"{name}_{counter:05}_{suffix}"):
            counter += 1
        _flush_folder(parent)
    return target


def numbered_files(folder: Path, prefix: str, suffix: str) -> list[Path]:
    """The files that `save_numbered` has written with this prefix and suffix. Raises SaveError as it does."""
    parent, name = _split_prefix(folder, prefix)
    return sorted(parent.glob(f"{glob.escape(name)}_*_{suffix}"))


def prefix_fault(prefix: str) -> str | None:
    """What is wrong with a file name prefix, with the mend; None if nothing is."""
    parts = _parts(prefix)
    if not parts:
        return f"file name prefix {prefix!r} names no file; write a name such as 'picture'"
    if prefix.startswith(("/", "\\")) or ".." in parts or os.path.splitdrive(prefix)[0]:
        return f"file name prefix {prefix!r} leaves the output folder; write a relative name without '..'"
    if "\0" in prefix:
        return f"file name prefix {prefix!r} holds a NUL character; remove it"
    return None


def prefix_folder(folder: Path, prefix: str) -> Path:
    """The folder that `save_numbered` writes into; raises SaveError as it does."""
    return _split_prefix(folder, prefix)[0]


def folder_fault(folder: Path) -> str | None:
    """What keeps files from being written into `folder`, which need not exist yet; None if nothing does."""
    place = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.exists(place))
    if not place.is_dir():
        return f"cannot write into {folder}: {place} is a file"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"cannot write into {folder}: writing in {place} is not permitted"
    return None


def find_input(name: str, folders: Sequence[Path]) -> Path:
    """The file called `name` in the first of `folders` that has it.

    Parameters
    ----------
    name : str
        A path relative to the folders, or an absolute one; ``~`` is the home folder.
    folders : sequence of Path
        Where to look, in order.

    Raises
    ------
    InputNotFoundError
        Naming every place searched, and files of similar names.
    """
    wanted = os.path.expanduser(name)
    candidates = (
        [Path(folder) / wanted for folder in folders] if not os.path.isabs(wanted) else [Path(wanted)]
    )
    for candidate in candidates:
        if name and os.path.isfile(candidate):
            return candidate
    looked = list(dict.fromkeys(str(candidate.parent) for candidate in candidates))
    message = f"no file {name!r}; looked in {', '.join(looked)}"
    if close := _similar(os.path.basename(wanted), looked):
        message += f"; did you mean {' or '.join(repr(other) for other in close)}?"
    raise InputNotFoundError(message)


def digest(path: Path) -> str:
    """The SHA-256 of a file's content, in 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _publish(temporary: Path, target: Path) -> bool:
    """Give `temporary` the name `target` unless that is taken; whether it was free."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        return _publish_without_links(temporary, target)
    return True


def _publish_without_links(temporary: Path, target: Path) -> bool:
    """As `_publish` on file systems without hard links (exFAT, some network shares).

    The name is reserved by an empty file first: only a crash between the two steps leaves that behind.
    """
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        return False
    try:
        os.replace(temporary, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return True


def _flush_folder(folder: Path) -> None:
    """Make a published name survive a power cut, where the system can flush a folder."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _refusals_explained(target: Path, size: int) -> Iterator[None]:
    """Turn the system's refusals into a SaveError that says what to do."""
    try:
        yield
    except SaveError:
        raise
    except OSError as error:
        raise SaveError(_refusal(target, size, error)) from error


def _refusal(target: Path, size: int, error: OSError) -> str:
    if error.errno in _OUT_OF_SPACE:
        return f"cannot write {target}: it needs {size:,} bytes and {_free_space(target)}; free some space"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot write {target}: {error.strerror}; choose a folder that you may write to"
    if error.errno == errno.ENAMETOOLONG:
        return f"cannot write {target}: the name is too long; shorten the file name prefix"
    return f"cannot write {target}: {error.strerror or error}; choose another output folder or name"


def _free_space(target: Path) -> str:
    existing = next(folder for folder in target.absolute().parents if folder.is_dir())
    return f"{shutil.disk_usage(existing).free:,} bytes are free"


def _parts(prefix: str) -> list[str]:
    """The folders and the name in a prefix; Windows separators count, since workflows travel."""
    return [part for part in prefix.replace("\\", "/").split("/") if part not in ("", ".")]


def _split_prefix(folder: Path, prefix: str) -> tuple[Path, str]:
    """The folder that a prefix leads to and the name within it."""
    if fault := prefix_fault(prefix):
        raise SaveError(fault)
    *subfolders, name = _parts(prefix)
    root = Path(os.path.realpath(folder))
    parent = Path(os.path.realpath(root.joinpath(*subfolders)))
    if not parent.is_relative_to(root):
        raise SaveError(f"file name prefix {prefix!r} leaves the output folder {root} by a symbolic link")
    return Path(folder).joinpath(*subfolders), name


def _next_counter(folder: Path, name: str) -> int:
    """One above the highest number that follows ``<name>_`` in the folder's file names."""
    start = os.path.normcase(f"{name}_")
    names = (os.path.normcase(entry) for entry in os.listdir(folder))
    return 1 + max(
        (_leading_number(entry[len(start) :]) for entry in names if entry.startswith(start)), default=0
    )


def _leading_number(rest: str) -> int:
    """The number before the first ``_`` or ``.`` of a file name's rest; 0 if that is no number."""
    digits = rest.replace(".", "_").split("_", 1)[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else 0


def _similar(name: str, folders: Iterable[str]) -> list[str]:
    """Up to three file names in `folders` that look like `name`."""
    present: list[str] = []
    for folder in folders:
        with contextlib.suppress(OSError):
            present += sorted(entry for entry in os.listdir(folder) if not entry.startswith("."))
    return difflib.get_close_matches(name, dict.fromkeys(present), n=3)
