"""Which models are in memory.

A component is read when a stage first computes with it and stays for the next run, as long as all
that is resident fits a budget in bytes. Before another one is read, those used longest ago go. On a
16 GB machine T5 therefore leaves before the transformer arrives. Importing this module and making a
store import neither mlx nor mflux.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from runtime.models.checkpoints import Checkpoint
from runtime.models.components import QUANTIZE_BITS, Component, TokenizerKind
from runtime.models.device import compute_dtype, memory_budget, release_cache
from runtime.models.errors import MemoryLimitError, ModelError
from runtime.models.sizes import estimated_bytes

if TYPE_CHECKING:
    from mflux.models.common.tokenizer.tokenizer import BaseTokenizer

    from runtime.models.loading import LoadedComponent
    from runtime.models.transformer import FluxTransformer


class Residence(NamedTuple):
    """What a resident component is: whose, which, and how precise."""

    identity: str
    component: Component
    quantize: int | None


class ModelStore:
    """Loads components on first use and holds them under a memory budget.

    Parameters
    ----------
    memory_limit
        Most bytes of weights to hold. Without it the machine decides (`device.memory_budget`), and a
        component that is larger than that alone is loaded all the same; a limit that is given is kept.

    Attributes
    ----------
    loads
        How often each component was read from disk.
    """

    def __init__(self, memory_limit: int | None = None) -> None:
        self._limit = memory_limit
        self._components: OrderedDict[Residence, LoadedComponent] = OrderedDict()  # Least recent first.
        self._transformers: dict[Residence, FluxTransformer] = {}
        self._tokenizers: dict[tuple[str, TokenizerKind], BaseTokenizer] = {}
        self._lock = threading.RLock()
        self.loads: Counter[Residence] = Counter()

    @property
    def memory_limit(self) -> int:
        """The budget in bytes."""
        return memory_budget() if self._limit is None else self._limit

    def get(
        self, checkpoint: Checkpoint, component: Component, quantize: int | None = None
    ) -> LoadedComponent:
        """The component, read now if it is not resident.

        Raises
        ------
        CheckpointError, DownloadError
            If it cannot be read.
        MemoryLimitError
            If it alone is larger than the limit that the user set.
        """
        if quantize is not None and quantize not in QUANTIZE_BITS:
            allowed = ", ".join(map(str, QUANTIZE_BITS))
            raise ModelError(f"quantize is {quantize}; it must be none or one of {allowed}.")
        from runtime.models.loading import load_component

        key = Residence(checkpoint.identity, component, quantize)
        with self._lock:
            if key not in self._components:
                self._make_room(checkpoint, component, quantize)
                self._components[key] = load_component(checkpoint, component, quantize)
                self.loads[key] += 1
            self._components.move_to_end(key)
            return self._components[key]

    def transformer(self, checkpoint: Checkpoint, quantize: int | None = None) -> FluxTransformer:
        """FLUX's transformer, ready to sample with."""
        from runtime.models.transformer import FluxTransformer

        key = Residence(checkpoint.identity, "transformer", quantize)
        with self._lock:
            loaded = self.get(checkpoint, "transformer", quantize)
            if key not in self._transformers:
                self._transformers[key] = FluxTransformer(loaded.module, loaded.config)
            return self._transformers[key]

    def tokenizer(self, checkpoint: Checkpoint, kind: TokenizerKind) -> BaseTokenizer:
        """The checkpoint's tokenizer; small, and therefore kept until `clear`."""
        from runtime.models.tokenizers import load_tokenizer

        key = (checkpoint.identity, kind)
        with self._lock:
            if key not in self._tokenizers:
                self._tokenizers[key] = load_tokenizer(checkpoint, kind)
            return self._tokenizers[key]

    def is_resident(self, checkpoint: Checkpoint, component: Component, quantize: int | None = None) -> bool:
        """Whether `get` would answer without reading weights."""
        return Residence(checkpoint.identity, component, quantize) in self._components

    def resident(self) -> list[tuple[Residence, int]]:
        """What is held and its bytes, the least recently used first."""
        with self._lock:
            return [(key, loaded.nbytes) for key, loaded in self._components.items()]

    @property
    def resident_bytes(self) -> int:
        """Bytes of all resident weights."""
        return sum(nbytes for _, nbytes in self.resident())

    def evict(self, checkpoint: Checkpoint, component: Component | None = None) -> int:
        """Let go of a component in every precision, or of the whole checkpoint; the bytes released."""
        with self._lock:
            identity = checkpoint.identity
            return self._drop(
                key
                for key in list(self._components)
                if key.identity == identity and component in (None, key.component)
            )

    def clear(self) -> int:
        """Let go of everything; the bytes released."""
        with self._lock:
            self._tokenizers.clear()
            return self._drop(list(self._components))

    def _make_room(self, checkpoint: Checkpoint, component: Component, quantize: int | None) -> None:
        """Evict what was used longest ago until the component fits."""
        place = checkpoint.locate_whole(component) / component
        needed = estimated_bytes(place, quantize, compute_dtype().size)
        budget = self.memory_limit
        if self._limit is not None and needed > budget:
            raise MemoryLimitError(
                f"The {component} of {checkpoint.name} needs {_size(needed)}, more than the memory limit of "
                f"{_size(budget)}. Raise the limit, or set quantize to a smaller number of bits."
            )
        while self._components and self.resident_bytes + needed > budget:
            self._drop([next(iter(self._components))])

    def _drop(self, keys: Iterable[Residence]) -> int:
        released = 0
        for key in keys:
            released += self._components.pop(key).nbytes
            self._transformers.pop(key, None)
        if released:
            release_cache()
        return released


def _size(nbytes: int) -> str:
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e8 else f"{nbytes / 1e6:.1f} MB"
