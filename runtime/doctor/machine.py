"""The machine: its system, device, number format and memory, and the versions of what computes."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from run_graph.runtime.device import compute_dtype, machine_memory, memory_budget
from run_graph.runtime.mlx_backend import installed_packages
from run_graph.runtime.versions import versions


@dataclass(frozen=True)
class Machine:
    """What models are computed on.

    Attributes
    ----------
    system : str
    device : str
        Of MLX, such as ``gpu (Apple M3 Max)``.
    dtype : str
        The number format of weights.
    memory, budget : int
        Bytes that the machine has, and that weights may take (:func:`runtime.device.memory_budget`).
    versions : dict
        Of Python and of packages, MLX's backend among them.
    """

    system: str
    device: str
    dtype: str
    memory: int
    budget: int
    versions: dict[str, str]


def this_machine(memory_limit: int | None = None) -> Machine:
    """The machine that this runs on; `memory_limit` replaces its budget, as in :class:`ModelStore`."""
    return Machine(
        system=platform.platform(),
        device=_device(),
        dtype=str(compute_dtype()).removeprefix("mlx.core."),
        memory=machine_memory(),
        budget=memory_budget() if memory_limit is None else memory_limit,
        versions=versions() | installed_packages(),
    )


def _device() -> str:
    import mlx.core as mx

    device = mx.default_device()
    kind = device.type.name
    name = mx.device_info(device).get("device_name") or mx.device_info(device).get("architecture")
    return f"{kind} ({name})" if name else kind
