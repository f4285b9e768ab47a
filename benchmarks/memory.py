"""How much memory a call takes in addition to what was in use before it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def peak_bytes(call: Callable[[], object]) -> int | None:
    """The peak memory of a call, in bytes; None where it cannot be measured.

    On a GPU it is MLX's own count. On the CPU it is the process's memory, because numpy allocates outside
    MLX; only Linux can report the peak over an interval.
    """
    gc.collect()
    mx.clear_cache()
    if mx.default_device().type == mx.DeviceType.gpu:
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        call()
        return mx.get_peak_memory() - before
    start = start_process_peak()
    call()
    return start.peak()


@dataclass(frozen=True)
class ProcessPeak:
    """A measurement of the process's memory, which began with this many bytes held; None if it cannot be."""

    held: int | None

    def peak(self) -> int | None:
        """The most that was held in addition since then, in bytes."""
        return None if self.held is None else _status("VmHWM") - self.held


def start_process_peak() -> ProcessPeak:
    """Begin to measure the peak of the process's memory."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # Freed memory that is still held could be reused without showing.
        _CLEAR.write_text("5")  # Resets the peak to the current value.
    except (OSError, AttributeError):
        return ProcessPeak(None)
    return ProcessPeak(_status("VmRSS"))


def _status(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])
