"""Which cache a command or a session uses, and what it holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from run_graph.runtime.cache.blob_store import DEFAULT_LIMIT, BlobStore
from run_graph.runtime.cache.disk import DiskCache, Tell
from run_graph.runtime.cache.protocol import NoCache, ResultCache
from run_graph.runtime.units import bytes_text


@dataclass(frozen=True)
class CacheReport:
    """What a cache holds, or held before it was cleared."""

    folder: str
    values: int
    snapshots: int
    nbytes: int
    limit: int
    cleared: bool

    def text(self) -> str:
        """For people."""
        begun = f", {self.snapshots} broken off" if self.snapshots else ""
        held = f"{self.values} values{begun}, {bytes_text(self.nbytes)}"
        return (
            f"{self.folder}: {held} removed"
            if self.cleared
            else (f"{self.folder}: {held} of at most {bytes_text(self.limit)}")
        )


def chosen_cache(no_cache: bool, folder: str | None, tell: Tell) -> ResultCache:
    """The cache that ``--no-cache`` and ``--cache-dir`` ask for.

    Raises
    ------
    SaveError
        If the folder that the user names is no place for it.
    """
    return NoCache() if no_cache else disk_cache(folder, tell)


def disk_cache(folder: str | None, tell: Tell) -> DiskCache:
    """The cache in the named folder or, without a name, in the user's own. Raises SaveError."""
    return DiskCache(_open(folder), tell)


def cache_usage(folder: str | None) -> CacheReport:
    """What the cache holds. Raises SaveError."""
    return _report(_open(folder), cleared=False)


def clear_cache(folder: str | None) -> CacheReport:
    """Remove all that the cache holds. Raises SaveError."""
    opened = _open(folder)
    report = _report(opened, cleared=True)
    opened.clear()
    return report


def _open(folder: str | None) -> BlobStore:
    root = _default_folder() if folder is None else Path(folder).expanduser()
    opened = BlobStore(root, DEFAULT_LIMIT)
    opened.check()
    return opened


def _default_folder() -> Path:
    """What the environment variable ``RUN_GRAPH_RESULTS`` says, or a folder of the user's cache."""
    override = os.environ.get("RUN_GRAPH_RESULTS")
    if override:
        return Path(override).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("run-graph", appauthor=False) / "results"


def _report(opened: BlobStore, *, cleared: bool) -> CacheReport:
    usage = opened.usage()
    return CacheReport(str(opened.root), usage.values, usage.snapshots, usage.nbytes, opened.limit, cleared)
