"""Work of a node that may be broken off, even by SIGKILL, and gone on with by the next run.

A node saves after each step what it needs to go on (:meth:`graph.Context.save_state`). What is saved is found
again by the node's content, so that only the very same computation goes on with it; it goes when the
node is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from run_graph.runtime.cache.blob_store import SNAPSHOTS, BlobStore, Damaged
from run_graph.runtime.cache.file_formats import SUFFIXES, decode, encode
from run_graph.runtime.cache.serialization import deserialize_items, serialize_items

# Saving takes at most this share of the time. A step that takes a hundredth of a second is worth less.
_SHARE = 0.02
_SECONDS = "seconds so far"


class Snapshot(Protocol):
    """The work of one node.

    Attributes
    ----------
    carried : float
        Seconds that runs which were broken off spent on what was loaded.
    """

    carried: float

    def load(self) -> dict[str, Any] | None:
        """What was saved last, if anything was."""
        ...

    def save(self, items: Mapping[str, Any]) -> None:
        """Keep arrays and plain values instead of what was saved before, unless it was just now."""
        ...

    def drop(self) -> None:
        """Forget it: the node is done."""
        ...


class NoSnapshot:
    """Keeps nothing."""

    carried = 0.0

    def load(self) -> dict[str, Any] | None:
        return None

    def save(self, items: Mapping[str, Any]) -> None:
        return None

    def drop(self) -> None:
        return None


class DiskSnapshot:
    """Keeps it in a cache folder (a `Snapshot`).

    Parameters
    ----------
    folder : BlobStore
    name : str
        The file's name.
    tell : callable
        Gets a sentence when the file is damaged.
    give_up : callable
        Gets the error when it cannot be written.
    """

    def __init__(
        self,
        folder: BlobStore,
        name: str,
        tell: Callable[[str], None],
        give_up: Callable[[OSError], None],
    ) -> None:
        self.carried = 0.0
        self._folder, self._name, self._tell, self._give_up = folder, name, tell, give_up
        self._began = time.perf_counter()
        self._next_save = 0.0
        self._exists = True  # for all that is known

    def load(self) -> dict[str, Any] | None:
        try:
            data = self._folder.read_sealed(SNAPSHOTS, self._name)
            if data is None:
                self._exists = False
                return None
            suffix, _, file = data.partition(b"\n")
            items = deserialize_items(decode(_known(suffix.decode()), file))
            self.carried = items.pop(_SECONDS)
            return items
        except (Damaged, ValueError, TypeError, KeyError) as error:
            self.drop()
            self._tell(f"result cache: {error}; a half-done stage begins anew")
            return None

    def save(self, items: Mapping[str, Any]) -> None:
        started = time.perf_counter()
        if started < self._next_save:
            return
        seconds = self.carried + started - self._began
        suffix, file = encode(serialize_items({**items, _SECONDS: seconds}))
        try:
            self._folder.write_sealed(SNAPSHOTS, self._name, suffix.encode() + b"\n" + file)
        except OSError as error:
            self._next_save = float("inf")
            self._give_up(error)
            return
        self._exists = True
        ended = time.perf_counter()
        self._next_save = ended + (ended - started) / _SHARE

    def drop(self) -> None:
        if self._exists:
            self._folder.drop(SNAPSHOTS, self._name)


def _known(suffix: str) -> str:
    if suffix not in SUFFIXES:
        raise ValueError(f"there is no format {suffix!r}")
    return suffix
