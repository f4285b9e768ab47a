"""How much memory a call takes beyond what is held before it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def peak_bytes(call: Callable[[], object]) -> int | None:
    """The most that it took at once, as the machine that computes counts it; None where nothing does.

    On a GPU MLX's own count. On the CPU the process's memory, since numpy allocates beside MLX; only Linux
    tells its peak of a stretch of time.
    """
    gc.collect()
    mx.clear_cache()
    if mx.default_device().type == mx.DeviceType.gpu:
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        call()
        return mx.get_peak_memory() - before
    try:
        ctypes.CDLL(None).malloc_trim(0)  # What is free but kept would hide as much that is taken anew.
        _CLEAR.write_text("5")  # Sets the peak to what is held now.
    except (OSError, AttributeError):
        call()
        return None
    held = _status("VmRSS")
    call()
    return _status("VmHWM") - held


def _status(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])
