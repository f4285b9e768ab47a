"""Results that outlive the process.

A result is one file, which has the result's two names (key and input digest), holds its small plain values,
and says where the others are. Those are stored apart (digest -> file), so that a value which two results
share is written once. Every file is checked against its digest when it is read: one that is damaged,
truncated or belongs to another result is removed, and the result is computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from run_graph.graph.forwarding import restored
from run_graph.graph.node import Outputs
from run_graph.runtime.cache.blob_store import RESULTS, SNAPSHOTS, VALUES, BlobStore, Damaged
from run_graph.runtime.cache.environment import environment_digest
from run_graph.runtime.cache.file_formats import SUFFIXES, decode, encode, from_note, to_note
from run_graph.runtime.cache.protocol import Entry
from run_graph.runtime.cache.serialization import (
    NotSerializable,
    Serialized,
    deserialize,
    remember_digest,
    serialize,
)
from run_graph.runtime.cache.snapshots import DiskSnapshot, NoSnapshot, Snapshot

# A result that took less is computed again as quickly as it is read.
LEAST_SECONDS = 0.0005
# Characters of a plain value that is stored within its result: a file of its own would take a block of 4 kB.
_MOST_WITHIN = 1_000

Warn = Callable[[str], None]


class DiskCache:
    """Results in a folder that any number of processes share (a :class:`runtime.cache.ResultCache`).

    Results with values that cannot be serialized, such as model handles, are not kept.

    Parameters
    ----------
    store : BlobStore
    warn : callable
        Gets a sentence when a file is damaged, and the first time that nothing can be written. Neither ends
        a run.
    least_seconds : float
        Results that took less time to compute are not kept.
    """

    def __init__(self, store: BlobStore, warn: Warn, least_seconds: float = LEAST_SECONDS) -> None:
        self.store = store
        self.warn = warn
        self.least_seconds = least_seconds
        self._writable = True

    def get(self, key: str, kind: type[Outputs] | None = None) -> Outputs | None:
        name = _name(key)
        try:
            content = self.store.read_sealed(RESULTS, name)
            if content is None or kind is None:
                return None
            return self._read(json.loads(content), name, kind)
        except (Damaged, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            self._forget(name, f"{error}" if isinstance(error, Damaged) else f"entry {name}: {error}")
            return None

    def put(self, entry: Entry) -> None:
        node_class, values = entry.node_class, entry.outputs.__dict__
        if not (node_class.persistent and self._writable and entry.seconds >= self.least_seconds):
            return
        # A file that an output node wrote is not written again until its run is complete (see
        # `run_completed`). Another workflow with the same values writes its own files: no input digest.
        names = [_name(entry.key)]
        if entry.input_digest is not None and not node_class.is_output:
            names.append(_name(entry.input_digest))
        try:
            serialized = {name: serialize(value) for name, value in values.items()}
        except NotSerializable:
            return
        try:
            stored = {name: self._store(each, values[name]) for name, each in serialized.items()}
            first, *others = names
            self.store.write_sealed(RESULTS, first, json.dumps({"names": names, "values": stored}).encode())
            for other in others:
                self.store.name_again(RESULTS, first, other)
        except OSError as error:
            self._give_up(error)

    def run_completed(self, keys: Iterable[str]) -> None:
        names = [_name(key) for key in keys]
        self.store.drop(RESULTS, *names)  # at once: killed in between, the next run would write some again
        self.store.drop(SNAPSHOTS, *names)  # left by a run that was killed just before it ended

    def snapshot(self, input_digest: str) -> Snapshot:
        if not self._writable:
            return NoSnapshot()
        return DiskSnapshot(self.store, _name(input_digest), self.warn, self._give_up)

    def _read(self, index: Mapping[str, Any], name: str, kind: type[Outputs]) -> Outputs | None:
        if name not in index["names"]:
            raise Damaged(f"{self.store.path(RESULTS, name)} belongs to another result")
        values: dict[str, Any] = {}
        for output, stored in index["values"].items():
            if isinstance(stored, dict):
                values[output] = deserialize(from_note(stored, {}))
                continue
            data = self.store.read(VALUES, stored)
            if data is None:  # evicted to make room
                self.store.drop(RESULTS, name)
                return None
            values[output] = self._value(stored, data)
        return restored(kind, values)

    def _value(self, file: str, data: bytes) -> Any:
        path = Path(file)
        try:
            serialized = decode(path.suffix, data)
            if serialized.digest() != path.stem:
                raise ValueError("its content does not match its digest")
            return _remembered(deserialize(serialized), path.stem)
        except (ValueError, TypeError, KeyError) as error:
            self.store.drop(VALUES, file)
            raise Damaged(f"{self.store.path(VALUES, file)} is damaged ({error})") from error

    def _store(self, serialized: Serialized, value: Any) -> str | dict[str, Any]:
        """What a result's file says of a value: itself, or the name of its own file, which is then there."""
        if not serialized.arrays:
            note = to_note(serialized)
            if len(json.dumps(note)) <= _MOST_WITHIN:
                return note
        digest = serialized.digest()
        remember_digest(value, digest)
        for suffix in SUFFIXES:
            if self.store.touch(VALUES, digest + suffix):
                return digest + suffix
        suffix, data = encode(serialized)
        self.store.write(VALUES, digest + suffix, data)
        return digest + suffix

    def _forget(self, name: str, why: str) -> None:
        self.store.drop(RESULTS, name)
        self.warn(f"result cache: {why}; it was removed, and the result is computed again")

    def _give_up(self, error: OSError) -> None:
        self._writable = False
        self.warn(
            f"result cache: cannot write in {self.store.root} ({error.strerror or error}); the results of "
            "this run are not kept. Free some space, or choose another folder with --cache-dir"
        )


def _remembered(value: Any, digest: str) -> Any:
    remember_digest(value, digest)
    return value


def _name(key: str) -> str:
    """The file of a key or input digest; its name also covers what else the result depends on."""
    return hashlib.sha256(f"{environment_digest()}\n{key}".encode()).hexdigest()
