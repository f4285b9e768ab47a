"""Writing a file completely or not at all.

A file is written next to its destination under a temporary name, flushed to disk, and then published in one
step. Whatever interrupts this, the destination has its old content, its new content, or does not exist.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from run_graph.runtime.files.temporary import temporary_file

_OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class SaveError(OSError):
    """A file could not be written; the message names the file, the cause and the fix."""


def write_atomically(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Write `data` to `path` completely or not at all.

    Parameters
    ----------
    path : Path
        The destination. Missing parent folders are created. With `overwrite`, a symbolic link is followed.
    data : bytes
        The whole content.
    overwrite : bool
        Whether to replace an existing file. If false, an existing file is an error and is left unchanged.

    Raises
    ------
    SaveError
        If the file exists and `overwrite` is false, or the system refuses the write.
    """
    target = Path(os.path.realpath(path)) if overwrite else Path(path)
    with explain_os_errors(target, len(data)), temporary_file(target.parent, data) as temporary:
        if overwrite:
            os.replace(temporary, target)
        elif not publish(temporary, target):
            raise SaveError(f"{target} already exists; choose another name or allow overwriting")
        flush_folder(target.parent)


def publish(temporary: Path, target: Path) -> bool:
    """Give `temporary` the name `target` unless that name is taken; return whether it was free."""
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
    """`publish` for file systems without hard links (exFAT, some network shares).

    An empty file reserves the name first; it is left behind only by a crash between the two steps.
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


def flush_folder(folder: Path) -> None:
    """Make a published name survive a power cut, where the system can flush a folder."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def explain_os_errors(target: Path, size: int) -> Iterator[None]:
    """Turn an OSError into a SaveError that says what to do."""
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
