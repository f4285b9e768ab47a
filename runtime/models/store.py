"""Loads models on first use and evicts them to stay within a memory budget.

A component is loaded when a stage first computes with it, and stays for the next run as long as all loaded
components fit a budget in bytes. Before another one is loaded, others are evicted: first those that no stage
of the run still needs, then the least recently used. On a 16 GB machine T5 is therefore evicted before the
transformer is loaded. Importing this module and creating a store imports no mlx.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from run_graph.runtime.current_run import RunView, current_run, emit
from run_graph.runtime.device import (
    limit_cache,
    memory_budget,
    memory_in_use,
    release_cache,
    start_peak,
)
from run_graph.runtime.events import Event, ModelEvicted, ModelLoaded, NodeFinished, RunFinished, StageMemory
from run_graph.runtime.models.architecture import is_modulation_layer
from run_graph.runtime.models.budget import check_bits, estimate, refuse_too_large
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.component_key import ComponentKey, needed_by
from run_graph.runtime.models.components import Component, TokenizerKind
from run_graph.runtime.models.handles import ModelHandle
from run_graph.runtime.models.lora_files import Lora
from run_graph.runtime.models.preflight import Preflight

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
    def low_ram(self) -> bool:
        """Whether everything else leaves memory before a component is loaded."""
        return self._low_ram

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
        check_bits(quantize)
        key = ComponentKey(checkpoint.identity, component, quantize, loras)
        with self._lock:
            return self._get(key, checkpoint)

    def component(self, handle: ModelHandle, component: Component) -> LoadedComponent:
        """A network of a handle, with the handle's LoRAs applied; see `get`."""
        return self.get(handle.checkpoint, component, handle.quantize, handle.loras_of(component))

    def transformer(
        self,
        checkpoint: Checkpoint,
        quantize: int | None = None,
        loras: tuple[Lora, ...] = (),
        levels_are_known: bool = True,
    ) -> FluxTransformer:
        """FLUX's transformer, ready to sample with; see `get`.

        Where memory is short, its modulation layers, 27 % of it, are not kept: they are read for the first
        step of a sampling, used for all its steps, and let go one by one. Memory is short with `low_ram`, or
        if the whole transformer has no room beside what is resident.

        Parameters
        ----------
        levels_are_known
            Whether the noise levels that the sampler visits are known before the first step. If not, the
            modulation layers stay: reading them at each step would take too long.
        """
        from run_graph.runtime.networks.transformer import FluxTransformer

        check_bits(quantize)
        key = ComponentKey(checkpoint.identity, "transformer", quantize, loras)
        with self._lock:
            loaded = self._get(key, checkpoint, may_stream=levels_are_known)
            if key not in self._transformers:
                read = partial(_streamed_layers, checkpoint, quantize, loras) if loaded.streamed else None
                self._transformers[key] = FluxTransformer(loaded.module, loaded.config, read)
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
            required = sum(estimate(key, checkpoint) for key, checkpoint in absent.items() if not key.loras)
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

    def _get(self, key: ComponentKey, checkpoint: Checkpoint, may_stream: bool = False) -> LoadedComponent:
        self._start_use()
        self._ensure_loaded(key.base, checkpoint, may_stream)
        if key.loras:
            self._ensure_adapted(key, checkpoint)
        return self._components[key]

    def _ensure_loaded(self, key: ComponentKey, checkpoint: Checkpoint, may_stream: bool) -> None:
        """Load the component unless it is resident, and mark it as the most recently used.

        `may_stream` says that its modulation layers may be missing.
        """
        from run_graph.runtime.models.loading import load_component

        if key in self._components and self._components[key].streamed and not may_stream:
            self._evict([key])
        if key not in self._components:
            self._preflight.check(_needed_by_run(), checkpoint)
            checkpoint.source(key.component, on_event=emit)
            streamed = may_stream and self._is_short_of_memory(key, checkpoint)
            self._make_room(key, checkpoint, streamed)
            loaded = load_component(checkpoint, key.component, key.quantize, streamed=streamed)
            self.loads[key] += 1
            self._admit(key, checkpoint.name, loaded)
        self._components.move_to_end(key)

    def _ensure_adapted(self, key: ComponentKey, checkpoint: Checkpoint) -> None:
        from run_graph.runtime.models.lora import adapted

        if key not in self._components:
            base = self._components[key.base]
            part = _is_kept if base.streamed else None
            module, nbytes = adapted(base.module, key.loras, key.component, part)
            names = " + ".join([checkpoint.name, *(lora.name for lora in key.loras)])
            self._admit(key, names, replace(base, module=module, nbytes=nbytes))
        self._components.move_to_end(key)

    def _admit(self, key: ComponentKey, name: str, loaded: LoadedComponent) -> None:
        self._components[key] = loaded
        self._names[key] = name
        emit(ModelLoaded(name, key.component, loaded.bits, loaded.nbytes, self.resident_bytes))

    def _is_short_of_memory(self, key: ComponentKey, checkpoint: Checkpoint) -> bool:
        """Whether the whole component would take more memory than should be used."""
        return self._low_ram or self.resident_bytes + estimate(key, checkpoint) > self.memory_limit

    def _make_room(self, key: ComponentKey, checkpoint: Checkpoint, streamed: bool) -> None:
        """Evict until the component fits, without its modulation layers if it is `streamed`."""
        needed = _needed_by_run()
        size = estimate(key, checkpoint, streamed)
        if self._limit is not None:
            refuse_too_large(self.memory_limit, {**needed, key: checkpoint}, key, size)
        if self._low_ram:
            self._evict(list(self._components))
            return
        excess = self.resident_bytes + size - self.memory_limit
        victims = []
        for victim in sorted(self._components, key=needed.__contains__):  # Stable: least recently used first.
            if excess <= 0:
                break
            victims.append(victim)
            excess -= self._components[victim].nbytes
        self._evict(victims)

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


def _streamed_layers(
    checkpoint: Checkpoint, quantize: int | None, loras: tuple[Lora, ...]
) -> Iterator[tuple[str, Any]]:
    from run_graph.runtime.models.loading import streamed_layers

    return streamed_layers(checkpoint, quantize, loras)


def _needed_by_run() -> Mapping[ComponentKey, Checkpoint]:
    """The components that the run which calls this still needs."""
    run = current_run()
    return {} if run is None else needed_by(run.pending_values())


def _is_kept(layer: str) -> bool:
    return not is_modulation_layer(layer)
