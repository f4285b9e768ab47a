"""Results that outlive the process.

An index (key or content -> digests of the values) lies apart from the store of values (digest -> file), so
that what two results share is written once. A value is checked against its digest whenever it is read: a
file that is damaged, cut short or somebody else's is dropped, and its result computed again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from run_graph.graph.forwarding import restored
from run_graph.graph.node import Node, Outputs
from run_graph.runtime.cache.blob_store import KEYS, SNAPSHOTS, VALUES, BlobStore, Damaged
from run_graph.runtime.cache.environment import environment_digest
from run_graph.runtime.cache.file_formats import SUFFIXES, decode, encode
from run_graph.runtime.cache.serialization import (
    NotSerializable,
    Serialized,
    deserialize,
    remember_digest,
    serialize,
)
from run_graph.runtime.cache.snapshots import DiskSnapshot, NoSnapshot, Snapshot

# What took less is computed again as quickly as it is read.
LEAST_SECONDS = 0.0005

Tell = Callable[[str], None]


class DiskCache:
    """Results in a folder that any number of processes share (a :class:`runtime.cache.ResultCache`).

    Results with values that cannot be written down, such as model handles, are not held.

    Parameters
    ----------
    folder : BlobStore
    tell : callable
        Gets a sentence when a file is damaged, and the first time that nothing can be written. Nothing of
        that ends a run.
    least_seconds : float
        What took less to compute is not held.
    """

    def __init__(self, folder: BlobStore, tell: Tell, least_seconds: float = LEAST_SECONDS) -> None:
        self.folder = folder
        self.tell = tell
        self.least_seconds = least_seconds
        self._writable = True

    def get(self, key: str, kind: type[Outputs] | None = None) -> Outputs | None:
        name = _name(key)
        try:
            entry = self.folder.read_sealed(KEYS, name)
            if entry is None or kind is None:
                return None
            return self._read(json.loads(entry), name, kind)
        except (Damaged, ValueError, TypeError, KeyError, AttributeError) as error:
            self._forget(name, f"{error}" if isinstance(error, Damaged) else f"entry {name}: {error}")
            return None

    def put(
        self,
        key: str,
        outputs: Outputs,
        input_digest: str | None = None,
        seconds: float = math.inf,
        node_class: type[Node] = Node,
    ) -> None:
        if not (node_class.persistent and self._writable and seconds >= self.least_seconds):
            return
        # What an output node wrote is not written again while its run is unfinished (see
        # `run_completed`), and no longer; another workflow with the same values writes its own files.
        names = [key] if input_digest is None or node_class.is_output else [key, input_digest]
        try:
            serialized = {name: serialize(value) for name, value in outputs.__dict__.items()}
        except NotSerializable:
            return
        try:
            values = {name: self._write(each, outputs.__dict__[name]) for name, each in serialized.items()}
            for name in map(_name, names):
                entry = {"name": name, "values": values}
                self.folder.write_sealed(KEYS, name, json.dumps(entry).encode())
        except OSError as error:
            self._give_up(error)

    def run_completed(self, keys: Iterable[str]) -> None:
        for key in keys:
            name = _name(key)
            self.folder.drop(KEYS, name)
            self.folder.drop(SNAPSHOTS, name)  # left by a run that was killed just before its end

    def snapshot(self, input_digest: str) -> Snapshot:
        if not self._writable:
            return NoSnapshot()
        return DiskSnapshot(self.folder, _name(input_digest), self.tell, self._give_up)

    def _read(self, entry: Mapping[str, Any], name: str, kind: type[Outputs]) -> Outputs | None:
        if entry["name"] != name:
            raise Damaged(f"{self.folder.path(KEYS, name)} is another result's")
        values: dict[str, Any] = {}
        for output, file in entry["values"].items():
            data = self.folder.read(VALUES, file)
            if data is None:  # let go for want of room
                self.folder.drop(KEYS, name)
                return None
            values[output] = self._value(file, data)
        return restored(kind, values)

    def _value(self, file: str, data: bytes) -> Any:
        path = Path(file)
        try:
            serialized = decode(path.suffix, data)
            if serialized.digest() != path.stem:
                raise ValueError("its content does not have that digest")
            return _remembered(deserialize(serialized), path.stem)
        except (ValueError, TypeError, KeyError) as error:
            self.folder.drop(VALUES, file)
            raise Damaged(f"{self.folder.path(VALUES, file)} is damaged ({error})") from error

    def _write(self, serialized: Serialized, value: Any) -> str:
        """Write a value unless it is there; the name of its file."""
        digest = serialized.digest()
        remember_digest(value, digest)
        for suffix in SUFFIXES:
            if self.folder.touch(VALUES, digest + suffix):
                return digest + suffix
        suffix, data = encode(serialized)
        self.folder.write(VALUES, digest + suffix, data)
        return digest + suffix

    def _forget(self, name: str, why: str) -> None:
        self.folder.drop(KEYS, name)
        self.tell(f"result cache: {why}; it was dropped, and what it held is computed again")

    def _give_up(self, error: OSError) -> None:
        self._writable = False
        self.tell(
            f"result cache: cannot write in {self.folder.root} ({error.strerror or error}); the results of "
            "this run are not kept. Free some space, or name another folder with --cache-dir"
        )


def _remembered(value: Any, digest: str) -> Any:
    remember_digest(value, digest)
    return value


def _name(key: str) -> str:
    """The file of a key or content: what else the result depends on is in its name."""
    return hashlib.sha256(f"{environment_digest()}\n{key}".encode()).hexdigest()
