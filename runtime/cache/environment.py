"""What a result depends on besides its graph: the versions of the libraries that compute, and the device."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from functools import cache
from typing import Any

from run_graph.graph.code_digest import source_digest
from run_graph.runtime.mlx_backend import require_mlx
from run_graph.runtime.versions import versions, versions_of

FORMAT = 2  # of the cache's files; raised when older ones can no longer be read

# Other packages that affect numbers: resizing, tokenising, and the arrays in between.
_PACKAGES = ("numpy", "pillow", "transformers", "tokenizers", "mlx-lm")
_DEVICE_FACTS = ("architecture", "device_name")


@cache
def environment_digest() -> str:
    """A digest that is the same in two processes exactly if they compute the same numbers.

    It is that of the `environment_facts`.

    Raises
    ------
    BackendError
        If MLX cannot be imported on this machine.
    """
    return hashlib.sha256(json.dumps(environment_facts(), sort_keys=True).encode()).hexdigest()


@cache
def environment_facts() -> Mapping[str, Any]:
    """What the numbers depend on besides the graph, as plain JSON values.

    The releases of run-graph, mflux, MLX and the other packages that compute, run-graph's own sources, and
    the device and number format: float32 on a CPU, bfloat16 on a GPU. Imports MLX.

    Raises
    ------
    BackendError
        If MLX cannot be imported on this machine.
    """
    return {
        "format": FORMAT,
        "versions": versions() | versions_of(_PACKAGES),
        "sources": [source_digest("run_graph.graph"), source_digest("run_graph.runtime")],
        "machine": [platform.system(), platform.machine()],
        "device": _device(),
    }


def _device() -> list[Any]:
    require_mlx()
    import mlx.core as mx

    from run_graph.runtime.device import compute_dtype

    device = mx.default_device()
    info = mx.device_info(device)
    return [str(device), str(compute_dtype()), *(str(info.get(fact)) for fact in _DEVICE_FACTS)]
