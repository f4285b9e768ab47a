"""The words of a display about one node."""

from __future__ import annotations

from run_graph.runtime.events import (
    Downloading,
    NodeFinished,
    NodeResumed,
    NodeReused,
    NodeWarned,
    StageMemory,
    WorkerNote,
)
from run_graph.runtime.units import bytes_text

_KEY = 12  # characters of a key that are shown
_ORIGINS = {"cache": "from the cache", "duplicate": "same as another", "unchanged": "unchanged inputs"}


def warning_text(event: NodeWarned) -> str:
    """A node's warning as one line."""
    return f"warning: node {event.node_id!r}: {event.message}"


def note_text(event: WorkerNote) -> str:
    """A note about a cluster as one line."""
    return f"warning: {event.worker}: {event.message}"


def download_text(event: Downloading) -> str:
    """How much is about to be downloaded, from where, and how much space is free for it."""
    remaining = bytes_text(event.total_bytes - event.done_bytes)
    done = f", {bytes_text(event.done_bytes)} already downloaded" if event.done_bytes else ""
    free = f"{bytes_text(event.free_bytes)} free in {event.folder}"
    return f"downloading {remaining} of {event.repository} ({free}{done})"


def resumed_text(event: NodeResumed) -> str:
    """Where a node goes on that an earlier run began."""
    return f"goes on from step {event.value} of {event.maximum}"


def outcome_text(event: NodeFinished | NodeReused) -> str:
    """How long a node took, or where its result came from."""
    return f"{event.seconds:.2f} s" if isinstance(event, NodeFinished) else _ORIGINS[event.origin]


def details_text(event: NodeFinished | NodeReused, memory: StageMemory | None) -> str:
    """What only a verbose display adds: the key of the result, and the memory that computing it took."""
    key = f", key {event.key[:_KEY]}" if event.key else ""
    if memory is None:
        return key
    peak, weights = bytes_text(memory.peak_bytes), bytes_text(memory.resident_bytes)
    return f"{key}, peak memory {peak}, weights {weights}"
