"""Opens the cache that a command or a session uses, and reports what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from run_graph.runtime.cache.blob_store import DEFAULT_LIMIT, BlobStore
from run_graph.runtime.cache.disk import DiskCache, Warn
from run_graph.runtime.cache.protocol import NoCache, ResultCache
from run_graph.runtime.files.atomic import SaveError
from run_graph.runtime.files.places import results_folder
from run_graph.runtime.units import bytes_text


@dataclass(frozen=True)
class CacheReport:
    """What a cache holds, or held before it was cleared.

    Attributes
    ----------
    results, snapshots : int
        The number of results, and of nodes that were interrupted.
    nbytes, disk_bytes : int
        What they hold, and what their files take of the disk.
    limit : int
        The most that the files may take of the disk, in bytes.
    """

    folder: str
    results: int
    snapshots: int
    nbytes: int
    disk_bytes: int
    limit: int
    cleared: bool

    def text(self) -> str:
        """One line for people."""
        interrupted = f" and {self.snapshots} interrupted" if self.snapshots else ""
        results = f"{self.results} result{'' if self.results == 1 else 's'}"
        held = f"{self.folder}: {results}{interrupted}, {bytes_text(self.nbytes)}"
        if self.cleared:
            return f"{held}, removed; {bytes_text(self.disk_bytes)} of the disk are free again"
        taken = f"{bytes_text(self.disk_bytes)} of the disk, of at most {bytes_text(self.limit)}"
        return f"{held}, which take {taken}"


def chosen_cache(no_cache: bool, folder: str | None, warn: Warn) -> ResultCache:
    """The cache that ``--no-cache`` and ``--cache-dir`` ask for.

    Raises
    ------
    SaveError
        If the folder that the user names cannot be a cache.
    """
    return NoCache() if no_cache else disk_cache(folder, warn)


def disk_cache(folder: str | None, warn: Warn) -> DiskCache:
    """The cache in this folder or, by default, in the user's own. Raises SaveError."""
    return DiskCache(_open(folder), warn)


def cache_usage(folder: str | None) -> CacheReport:
    """What the cache holds. Raises SaveError."""
    return _report(_open(folder), cleared=False)


def clear_cache(folder: str | None) -> CacheReport:
    """Empty the cache, and report what it held. Raises SaveError."""
    opened = _open(folder)
    report = _report(opened, cleared=True)
    opened.clear()
    return report


def _open(folder: str | None) -> BlobStore:
    root = results_folder() if folder is None else Path(folder).expanduser()
    opened = BlobStore(root, DEFAULT_LIMIT)
    try:
        opened.check()
    except SaveError as error:
        if folder is None:
            raise
        raise SaveError(f"--cache-dir: {error}") from None
    return opened


def _report(opened: BlobStore, *, cleared: bool) -> CacheReport:
    usage = opened.usage()
    return CacheReport(
        str(opened.root),
        usage.results,
        usage.snapshots,
        usage.nbytes,
        usage.disk_bytes,
        opened.limit,
        cleared,
    )
