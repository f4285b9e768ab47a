"""Resume states: a node's work survives an interruption, even by SIGKILL, and the next run continues it.

After each step a node saves what it needs to continue (:meth:`graph.Context.save_state`). The state is stored
under the node's input digest, so that only the same computation resumes from it, and is deleted when the node
is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from run_graph.runtime.cache.blob_store import SNAPSHOTS, BlobStore, Damaged
from run_graph.runtime.cache.file_formats import SUFFIXES, decode, encode
from run_graph.runtime.cache.serialization import deserialize_items, serialize_items

# Saving takes at most this share of the time: steps of a hundredth of a second are not worth more.
_SHARE = 0.02
_SECONDS = "seconds so far"


class Snapshot(Protocol):
    """The resume state of one node.

    Attributes
    ----------
    carried : float
        Seconds that interrupted runs spent on the state that was loaded.
    """

    carried: float

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last, or None."""
        ...

    def save(self, items: Mapping[str, Any], *, now: bool = False) -> bool:
        """Save arrays and plain values, replacing the last state.

        Skipped if that was saved a moment ago, unless ``now``. Returns whether the state is kept.
        """
        ...

    def drop(self) -> None:
        """Delete the state: the node is done."""
        ...


class NoSnapshot:
    """Keeps nothing."""

    carried = 0.0

    def load(self) -> dict[str, Any] | None:
        return None

    def save(self, items: Mapping[str, Any], *, now: bool = False) -> bool:
        return False

    def drop(self) -> None:
        return None


class DiskSnapshot:
    """Keeps the state in a cache folder (a `Snapshot`).

    Parameters
    ----------
    store : BlobStore
    name : str
        The file's name.
    warn : callable
        Gets a sentence when the file is damaged.
    give_up : callable
        Gets the error when it cannot be written.
    """

    def __init__(
        self,
        store: BlobStore,
        name: str,
        warn: Callable[[str], None],
        give_up: Callable[[OSError], None],
    ) -> None:
        self.carried = 0.0
        self._store, self._name, self._warn, self._give_up = store, name, warn, give_up
        self._began = time.perf_counter()
        self._next_save = 0.0
        self._gave_up = False
        self._exists = True  # until load finds out

    def load(self) -> dict[str, Any] | None:
        try:
            data = self._store.read_sealed(SNAPSHOTS, self._name)
            if data is None:
                self._exists = False
                return None
            suffix, _, file = data.partition(b"\n")
            items = deserialize_items(decode(_known(suffix.decode()), file))
            self.carried = items.pop(_SECONDS)
            return items
        except (Damaged, ValueError, TypeError, KeyError) as error:
            self.drop()
            self._warn(f"result cache: {error}; the unfinished stage starts again from its beginning")
            return None

    def save(self, items: Mapping[str, Any], *, now: bool = False) -> bool:
        started = time.perf_counter()
        if self._gave_up or (started < self._next_save and not now):
            return False
        seconds = self.carried + started - self._began
        suffix, file = encode(serialize_items({**items, _SECONDS: seconds}))
        try:
            self._store.write_sealed(SNAPSHOTS, self._name, suffix.encode() + b"\n" + file)
        except OSError as error:
            self._gave_up = True
            self._give_up(error)
            return False
        self._exists = True
        ended = time.perf_counter()
        self._next_save = ended + (ended - started) / _SHARE
        return True

    def drop(self) -> None:
        if self._exists:
            self._store.drop(SNAPSHOTS, self._name)


def _known(suffix: str) -> str:
    if suffix not in SUFFIXES:
        raise ValueError(f"there is no format {suffix!r}")
    return suffix
