"""What the machine computes with: number format and memory."""

import os
from typing import Any

SHARE_OF_WORKING_SET = 0.85  # Left over: the activations.
SHARE_OF_MEMORY = 0.75  # Left over: the activations, the system, and other programs.


def compute_dtype() -> Any:
    """The `mlx.core.Dtype` that weights are held in.

    bfloat16 on a GPU (Metal or CUDA), as FLUX.1 is published and trained; float32 on the CPU, where
    MLX computes bfloat16 no faster and the parity tests want the precision.
    """
    import mlx.core as mx

    return mx.float32 if mx.default_device().type == mx.DeviceType.cpu else mx.bfloat16


def memory_budget() -> int:
    """Bytes of weights that may stay resident when the user sets no limit.

    On Metal most of the working set that the driver recommends; elsewhere three quarters of the memory
    of the GPU or, on the CPU, of the machine.
    """
    import mlx.core as mx

    info = mx.device_info(mx.default_device())
    recommended = info.get("max_recommended_working_set_size")
    if recommended:
        return int(SHARE_OF_WORKING_SET * int(recommended))
    total = info.get("memory_size") or info.get("total_memory") or _machine_memory()
    return int(SHARE_OF_MEMORY * int(total))


def release_cache() -> None:
    """Give memory that MLX keeps for reuse back to the system."""
    import mlx.core as mx

    mx.clear_cache()


def limit_cache(nbytes: int) -> None:
    """Let MLX keep at most so many bytes of freed memory for reuse."""
    import mlx.core as mx

    mx.set_cache_limit(nbytes)


def start_peak() -> None:
    """Begin a new measurement of MLX's peak memory."""
    import mlx.core as mx

    mx.reset_peak_memory()


def memory_in_use() -> tuple[int, int]:
    """Bytes that MLX's arrays occupy now, and at most since `start_peak`."""
    import mlx.core as mx

    return mx.get_active_memory(), mx.get_peak_memory()


def _machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
