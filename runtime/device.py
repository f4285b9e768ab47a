"""The number format and the memory that the machine offers."""

import os
from typing import Any

SHARE_OF_WORKING_SET = 0.85  # The rest is for activations.
SHARE_OF_MEMORY = 0.75  # The rest is for activations, the system and other programs.


def compute_dtype() -> Any:
    """The `mlx.core.Dtype` that weights are held in.

    bfloat16 on a GPU (Metal or CUDA), in which FLUX.1 was trained and published. float32 on the CPU, where
    MLX is no faster in bfloat16 and the parity tests need the precision.
    """
    import mlx.core as mx

    return mx.float32 if mx.default_device().type == mx.DeviceType.cpu else mx.bfloat16


def memory_budget() -> int:
    """Bytes of weights that may stay resident when the user sets no limit.

    On Metal, this is most of the working set that the driver recommends; elsewhere it is three quarters of
    the GPU's memory or, on the CPU, of the machine's.
    """
    import mlx.core as mx

    info = mx.device_info(mx.default_device())
    recommended = info.get("max_recommended_working_set_size")
    if recommended:
        return int(SHARE_OF_WORKING_SET * int(recommended))
    total = info.get("memory_size") or info.get("total_memory") or machine_memory()
    return int(SHARE_OF_MEMORY * int(total))


def release_cache() -> None:
    """Return the memory that MLX keeps for reuse to the system."""
    import mlx.core as mx

    mx.clear_cache()


def limit_cache(nbytes: int) -> None:
    """Limit the freed memory that MLX keeps for reuse to `nbytes` bytes."""
    import mlx.core as mx

    mx.set_cache_limit(nbytes)


def start_peak() -> None:
    """Reset MLX's peak memory, to start a new measurement."""
    import mlx.core as mx

    mx.reset_peak_memory()


def memory_in_use() -> tuple[int, int]:
    """Bytes that MLX's arrays occupy now, and the highest value since `start_peak`."""
    import mlx.core as mx

    return mx.get_active_memory(), mx.get_peak_memory()


def machine_memory() -> int:
    """Bytes of memory that the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
