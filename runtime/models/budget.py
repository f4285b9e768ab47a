"""Whether a component fits a budget of memory, before any of its weights are read. Imports no model code."""

from __future__ import annotations

from collections.abc import Mapping

from run_graph.runtime.device import compute_dtype
from run_graph.runtime.errors import MemoryLimitError, ModelError
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.component_key import ComponentKey
from run_graph.runtime.models.components import QUANTIZE_BITS
from run_graph.runtime.models.sizes import estimated_bytes
from run_graph.runtime.units import bytes_text


def check_bits(quantize: int | None) -> None:
    """Raise ModelError if there is no such quantisation."""
    if quantize is not None and quantize not in QUANTIZE_BITS:
        allowed = ", ".join(map(str, QUANTIZE_BITS))
        raise ModelError(f"quantize is {quantize}; it must be none or one of {allowed}.")


def estimate(key: ComponentKey, checkpoint: Checkpoint, streamed: bool = False) -> int:
    """Bytes that the component will take, from its files' headers; 0 if they are not on this machine.

    With `streamed`, only the largest of the transformer's modulation layers counts.
    """
    source = checkpoint.local_source(key.component)
    if source is None:
        return 0
    streamed = streamed and key.component == "transformer"
    return estimated_bytes(source, key.quantize, compute_dtype().size, streamed=streamed)


def refuse_too_large(
    limit: int, needed: Mapping[ComponentKey, Checkpoint], first: ComponentKey, size: int
) -> None:
    """Raise MemoryLimitError if `first` or another component that the run needs exceeds the limit alone.

    `size` is that of `first`. The size of another component that has to be downloaded is not checked.
    """
    sizes = {
        f"the {key.component} of {checkpoint.name}": (
            size if key == first else estimate(key, checkpoint, streamed=True)
        )
        for key, checkpoint in needed.items()
        if key == first or checkpoint.holder(key.component).repo is None
    }
    if too_large := [f"{what} needs {bytes_text(size)}" for what, size in sizes.items() if size > limit]:
        raise MemoryLimitError(
            f"The memory limit of {bytes_text(limit)} is too small: {', '.join(too_large)}. "
            "Raise the limit, or set quantize to a smaller number of bits."
        )
