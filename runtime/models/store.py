"""Loads models on first use and evicts them to stay within a memory budget.

A component is loaded when a stage first computes with it, and stays for the next run as long as all loaded
components fit a budget in bytes. Before another one is loaded, others are evicted: first those that no stage
of the run still needs, then the least recently used. On a 16 GB machine T5 is therefore evicted before the
transformer is loaded. Importing this module and creating a store imports no mlx.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from run_graph.runtime.current_run import RunView, current_run, emit
from run_graph.runtime.device import (
    compute_dtype,
    limit_cache,
    memory_budget,
    memory_in_use,
    release_cache,
    start_peak,
)
from run_graph.runtime.errors import MemoryLimitError, ModelError
from run_graph.runtime.events import Event, ModelEvicted, ModelLoaded, NodeFinished, RunFinished, StageMemory
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.component_key import ComponentKey, needed_by
from run_graph.runtime.models.components import QUANTIZE_BITS, Component, TokenizerKind
from run_graph.runtime.models.handles import ModelHandle
from run_graph.runtime.models.lora_files import Lora
from run_graph.runtime.models.preflight import Preflight
from run_graph.runtime.models.sizes import estimated_bytes
from run_graph.runtime.units import bytes_text

if TYPE_CHECKING:
    from run_graph.runtime.models.loading import LoadedComponent
    from run_graph.runtime.models.tokenizers import PromptTokenizer
    from run_graph.runtime.networks.transformer import FluxTransformer

__all__ = ["ComponentKey", "ModelStore"]


class ModelStore:
    """Loads components on first use and keeps them within a memory budget.

    Parameters
    ----------
    memory_limit
        Budget for weights in bytes, never exceeded. By default it is `device.memory_budget`, and a single
        component that is larger than that is loaded anyway.
    low_ram
        Use as little memory as possible: everything else is evicted before a component is loaded, and
        after each stage everything that no later stage of the run needs. MLX then keeps no freed memory
        for reuse.
    cache_limit
        Most bytes of freed memory that MLX keeps for reuse. Default: an eighth of the budget, at most
        2 GB; none with `low_ram`.

    Attributes
    ----------
    loads
        How often each component was read from disk.
    """

    def __init__(
        self, memory_limit: int | None = None, low_ram: bool = False, cache_limit: int | None = None
    ) -> None:
        self._limit = memory_limit
        self._low_ram = low_ram
        self._cache_limit = cache_limit
        # The least recently used first.
        self._components: OrderedDict[ComponentKey, LoadedComponent] = OrderedDict()
        self._names: dict[ComponentKey, str] = {}
        self._transformers: dict[ComponentKey, FluxTransformer] = {}
        self._tokenizers: dict[tuple[str, TokenizerKind], PromptTokenizer] = {}
        self._preflight = Preflight()
        # The stages under way that have computed with models, by their runs: the most memory in use so far.
        self._stage_peaks: dict[RunView | None, int] = {}
        self._lock = threading.RLock()
        self.loads: Counter[ComponentKey] = Counter()

    @property
    def memory_limit(self) -> int:
        """The budget in bytes."""
        return memory_budget() if self._limit is None else self._limit

    def get(
        self,
        checkpoint: Checkpoint,
        component: Component,
        quantize: int | None = None,
        loras: tuple[Lora, ...] = (),
    ) -> LoadedComponent:
        """The component; loads it if it is not resident.

        With `loras`, a separate network that shares the weights of the one without.

        Raises
        ------
        CheckpointError, DownloadError
            If it cannot be read.
        LoraError
            If a LoRA does not fit it.
        MemoryLimitError
            If it alone exceeds the limit that the user set.
        """
        if quantize is not None and quantize not in QUANTIZE_BITS:
            allowed = ", ".join(map(str, QUANTIZE_BITS))
            raise ModelError(f"quantize is {quantize}; it must be none or one of {allowed}.")
        key = ComponentKey(checkpoint.identity, component, quantize, loras)
        with self._lock:
            self._start_use()
            self._ensure_loaded(key.base, checkpoint)
            if loras:
                self._ensure_adapted(key, checkpoint)
            return self._components[key]

    def component(self, handle: ModelHandle, component: Component) -> LoadedComponent:
        """A network of a handle, with the handle's LoRAs applied; see `get`."""
        return self.get(handle.checkpoint, component, handle.quantize, handle.loras_of(component))

    def transformer(
        self, checkpoint: Checkpoint, quantize: int | None = None, loras: tuple[Lora, ...] = ()
    ) -> FluxTransformer:
        """FLUX's transformer, ready to sample with; see `get`."""
        from run_graph.runtime.networks.transformer import FluxTransformer

        key = ComponentKey(checkpoint.identity, "transformer", quantize, loras)
        with self._lock:
            loaded = self.get(checkpoint, "transformer", quantize, loras)
            if key not in self._transformers:
                self._transformers[key] = FluxTransformer(loaded.module, loaded.config)
            return self._transformers[key]

    def tokenizer(self, checkpoint: Checkpoint, kind: TokenizerKind) -> PromptTokenizer:
        """The checkpoint's tokenizer, which is small and therefore never evicted."""
        from run_graph.runtime.models.tokenizers import load_tokenizer

        key = (checkpoint.identity, kind)
        with self._lock:
            if key not in self._tokenizers:
                self._tokenizers[key] = load_tokenizer(checkpoint, kind)
            return self._tokenizers[key]

    def has_room_for(self, values: Iterable[Any]) -> bool:
        """Whether a node with these inputs can compute without an eviction."""
        with self._lock:
            absent = {
                key: checkpoint
                for key, checkpoint in needed_by(values).items()
                if key.base not in self._components
            }
            if self._low_ram and absent:
                return False
            required = sum(_estimate(key, checkpoint) for key, checkpoint in absent.items() if not key.loras)
            return self.resident_bytes + required <= self.memory_limit

    def resident(self) -> list[tuple[ComponentKey, int]]:
        """The resident components and their sizes in bytes, the least recently used first."""
        with self._lock:
            return [(key, loaded.nbytes) for key, loaded in self._components.items()]

    @property
    def resident_bytes(self) -> int:
        """Size of all resident weights in bytes."""
        return sum(nbytes for _, nbytes in self.resident())

    @property
    def spare_bytes(self) -> int:
        """Bytes of the budget that no weights occupy; 0 with `low_ram`."""
        return 0 if self._low_ram else max(0, self.memory_limit - self.resident_bytes)

    def evict_all(self) -> None:
        """Evict all components; what a run is computing with is freed when it is done. From any thread."""
        with self._lock:
            self._evict(list(self._components))

    def observe(self, event: Event) -> None:
        """Report the memory of a stage to its run when it finishes."""
        if not self._stage_peaks:
            return
        if isinstance(event, NodeFinished) and current_run() in self._stage_peaks:
            self._end_stage(event.node_id)
        elif isinstance(event, RunFinished):
            with self._lock:
                self._stage_peaks.pop(current_run(), None)

    def _start_use(self) -> None:
        run = current_run()
        if run not in self._stage_peaks:
            limit_cache(self._mlx_cache())
            self._note_peaks()
            start_peak()
            self._stage_peaks[run] = 0

    def _end_stage(self, node_id: str) -> None:
        with self._lock:
            self._note_peaks()
            active, _ = memory_in_use()
            peak = self._stage_peaks.pop(current_run())
        emit(StageMemory(node_id, self.resident_bytes, active, peak))
        if self._low_ram:
            with self._lock:
                needed = _needed_by_run()
                self._evict(key for key in list(self._components) if key not in needed)

    def _note_peaks(self) -> None:
        """Remember the peak so far for all stages under way: another one may start a new measurement."""
        if self._stage_peaks:
            _, peak = memory_in_use()
            self._stage_peaks = {run: max(before, peak) for run, before in self._stage_peaks.items()}

    def _mlx_cache(self) -> int:
        if self._cache_limit is not None:
            return self._cache_limit
        return 0 if self._low_ram else min(self.memory_limit // 8, 2 * 10**9)

    def _ensure_loaded(self, key: ComponentKey, checkpoint: Checkpoint) -> None:
        """Load the component unless it is resident, and mark it as the most recently used."""
        from run_graph.runtime.models.loading import load_component

        if key not in self._components:
            self._preflight.check(_needed_by_run(), checkpoint)
            checkpoint.source(key.component, on_event=emit)
            self._make_room(key, checkpoint)
            loaded = load_component(checkpoint, key.component, key.quantize)
            self.loads[key] += 1
            self._admit(key, checkpoint.name, loaded)
        self._components.move_to_end(key)

    def _ensure_adapted(self, key: ComponentKey, checkpoint: Checkpoint) -> None:
        from run_graph.runtime.models.lora import adapted

        if key not in self._components:
            base = self._components[key.base]
            module, nbytes = adapted(base.module, key.loras, key.component)
            names = " + ".join([checkpoint.name, *(lora.name for lora in key.loras)])
            self._admit(key, names, type(base)(module, base.config, base.bits, nbytes))
        self._components.move_to_end(key)

    def _admit(self, key: ComponentKey, name: str, loaded: LoadedComponent) -> None:
        self._components[key] = loaded
        self._names[key] = name
        emit(ModelLoaded(name, key.component, loaded.bits, loaded.nbytes, self.resident_bytes))

    def _make_room(self, key: ComponentKey, checkpoint: Checkpoint) -> None:
        """Evict until the component fits."""
        needed = _needed_by_run()
        if self._limit is not None:
            self._refuse_too_large({**needed, key: checkpoint}, key)
        if self._low_ram:
            self._evict(list(self._components))
            return
        excess = self.resident_bytes + _estimate(key, checkpoint) - self.memory_limit
        victims = []
        for victim in sorted(self._components, key=needed.__contains__):  # Stable: least recently used first.
            if excess <= 0:
                break
            victims.append(victim)
            excess -= self._components[victim].nbytes
        self._evict(victims)

    def _refuse_too_large(self, needed: Mapping[ComponentKey, Checkpoint], first: ComponentKey) -> None:
        """Raise MemoryLimitError if `first` or another component that the run needs exceeds the limit alone.

        The size of a component that has to be downloaded is checked only when it is `first`.
        """
        sizes = {
            f"the {key.component} of {checkpoint.name}": _estimate(key, checkpoint)
            for key, checkpoint in needed.items()
            if key == first or checkpoint.holder(key.component).repo is None
        }
        limit = self.memory_limit
        if too_large := [f"{what} needs {bytes_text(size)}" for what, size in sizes.items() if size > limit]:
            raise MemoryLimitError(
                f"The memory limit of {bytes_text(limit)} is too small: {', '.join(too_large)}. "
                "Raise the limit, or set quantize to a smaller number of bits."
            )

    def _evict(self, keys: Iterable[ComponentKey]) -> None:
        """Evict these components, and with a base network the networks adapted from it."""
        leaving = set(keys)
        leaving |= {key for key in self._components if key.base in leaving}
        released = 0
        for key in [key for key in self._components if key in leaving]:
            nbytes = self._components.pop(key).nbytes
            self._transformers.pop(key, None)
            released += nbytes
            emit(ModelEvicted(self._names.pop(key), key.component, nbytes, self.resident_bytes))
        if released:
            release_cache()


def _needed_by_run() -> Mapping[ComponentKey, Checkpoint]:
    """The components that the run which calls this still needs."""
    run = current_run()
    return {} if run is None else needed_by(run.pending_values())


def _estimate(key: ComponentKey, checkpoint: Checkpoint) -> int:
    """Bytes that the component will take, from its files' headers; 0 if they are not on this machine."""
    source = checkpoint.local_source(key.component)
    return 0 if source is None else estimated_bytes(source, key.quantize, compute_dtype().size)
