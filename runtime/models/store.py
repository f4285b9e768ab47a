"""Which models are in memory.

A component is read when a stage first computes with it and stays for the next run, as long as all
that is resident fits a budget in bytes. Before another one is read, room is made: what no stage of the
run still needs goes first, then what was used longest ago. On a 16 GB machine T5 therefore leaves before
the transformer arrives. Importing this module and making a store import neither mlx nor mflux.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

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
from run_graph.runtime.models.lora_files import Lora
from run_graph.runtime.models.sizes import estimated_bytes
from run_graph.runtime.units import bytes_text

if TYPE_CHECKING:
    from mflux.models.common.tokenizer.tokenizer import BaseTokenizer

    from run_graph.runtime.events import RunView
    from run_graph.runtime.models.loading import LoadedComponent
    from run_graph.runtime.networks.transformer import FluxTransformer

__all__ = ["ComponentKey", "ModelStore"]


class ModelStore:
    """Loads components on first use and holds them under a memory budget.

    Parameters
    ----------
    memory_limit
        Most bytes of weights to hold. Without it the machine decides (`device.memory_budget`), and a
        component that is larger than that alone is loaded all the same; a limit that is given is kept.
    low_ram
        Hold as little as can be: everything else leaves before a component is read, and what no stage
        of the run still needs leaves as soon as a stage is done. MLX then keeps no freed memory for reuse.
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
        self._components: OrderedDict[ComponentKey, LoadedComponent] = OrderedDict()  # Least recent first.
        self._names: dict[ComponentKey, str] = {}
        self._transformers: dict[ComponentKey, FluxTransformer] = {}
        self._tokenizers: dict[tuple[str, TokenizerKind], BaseTokenizer] = {}
        self._run: RunView | None = None
        self._used_in_stage = False
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
        """The component, read now if it is not resident.

        With `loras`, a network of its own that shares the weights of the one without.

        Raises
        ------
        CheckpointError, DownloadError
            If it cannot be read.
        LoraError
            If a LoRA does not fit it.
        MemoryLimitError
            If it alone is larger than the limit that the user set.
        """
        if quantize is not None and quantize not in QUANTIZE_BITS:
            allowed = ", ".join(map(str, QUANTIZE_BITS))
            raise ModelError(f"quantize is {quantize}; it must be none or one of {allowed}.")
        key = ComponentKey(checkpoint.identity, component, quantize, loras)
        with self._lock:
            self._begin_use()
            self._hold(key.base, checkpoint)
            if loras:
                self._hold_adapted(key, checkpoint)
            return self._components[key]

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

    def tokenizer(self, checkpoint: Checkpoint, kind: TokenizerKind) -> BaseTokenizer:
        """The checkpoint's tokenizer; small, and therefore kept until `clear`."""
        from run_graph.runtime.models.tokenizers import load_tokenizer

        key = (checkpoint.identity, kind)
        with self._lock:
            if key not in self._tokenizers:
                self._tokenizers[key] = load_tokenizer(checkpoint, kind)
            return self._tokenizers[key]

    def is_resident(self, checkpoint: Checkpoint, component: Component, quantize: int | None = None) -> bool:
        """Whether `get` would answer without reading weights."""
        return ComponentKey(checkpoint.identity, component, quantize) in self._components

    def has_room_for(self, values: Iterable[Any]) -> bool:
        """Whether a node with these inputs can compute without anything leaving memory."""
        with self._lock:
            absent = {key: at for key, at in needed_by(values).items() if key.base not in self._components}
            if self._low_ram and absent:
                return False
            arriving = sum(_estimate(key, checkpoint) for key, checkpoint in absent.items() if not key.loras)
            return self.resident_bytes + arriving <= self.memory_limit

    def resident(self) -> list[tuple[ComponentKey, int]]:
        """What is held and its bytes, the least recently used first."""
        with self._lock:
            return [(key, loaded.nbytes) for key, loaded in self._components.items()]

    @property
    def resident_bytes(self) -> int:
        """Bytes of all resident weights."""
        return sum(nbytes for _, nbytes in self.resident())

    @property
    def spare_bytes(self) -> int:
        """How much of the budget no weights take; nothing with `low_ram`."""
        return 0 if self._low_ram else max(0, self.memory_limit - self.resident_bytes)

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

    def run_started(self, run: RunView) -> None:
        """From now on, tell this run of what comes and goes, and look at what it still needs."""
        self._run = run
        self._used_in_stage = False

    def observe(self, event: Event) -> None:
        """Report a stage's memory when it ends; forget the run at its end."""
        if isinstance(event, NodeFinished) and self._used_in_stage:
            self._end_stage(event.node_id)
        elif isinstance(event, RunFinished):
            self._run = None

    def _begin_use(self) -> None:
        if not self._used_in_stage:
            self._used_in_stage = True
            limit_cache(self._mlx_cache())
            start_peak()

    def _end_stage(self, node_id: str) -> None:
        self._used_in_stage = False
        active, peak = memory_in_use()
        self._tell(StageMemory(node_id, self.resident_bytes, active, peak))
        if self._low_ram:
            with self._lock:
                needed = {} if self._run is None else needed_by(self._run.pending_values())
                self._drop(key for key in list(self._components) if key not in needed)

    def _mlx_cache(self) -> int:
        if self._cache_limit is not None:
            return self._cache_limit
        return 0 if self._low_ram else min(self.memory_limit // 8, 2 * 10**9)

    def _hold(self, key: ComponentKey, checkpoint: Checkpoint) -> None:
        """Have the component resident, and the one used last."""
        from run_graph.runtime.models.loading import load_component

        if key not in self._components:
            checkpoint.locate_whole(key.component, on_event=self._tell)
            self._make_room(key, checkpoint)
            loaded = load_component(checkpoint, key.component, key.quantize)
            self.loads[key] += 1
            self._admit(key, checkpoint.name, loaded)
        self._components.move_to_end(key)

    def _hold_adapted(self, key: ComponentKey, checkpoint: Checkpoint) -> None:
        from run_graph.runtime.models.lora import adapted

        if key not in self._components:
            base = self._components[key.base]
            module, nbytes = adapted(base.module, key.loras)
            names = " + ".join([checkpoint.name, *(lora.name for lora in key.loras)])
            self._admit(key, names, type(base)(module, base.config, base.bits, nbytes))
        self._components.move_to_end(key)

    def _admit(self, key: ComponentKey, name: str, loaded: LoadedComponent) -> None:
        self._components[key] = loaded
        self._names[key] = name
        self._tell(ModelLoaded(name, key.component, loaded.bits, loaded.nbytes, self.resident_bytes))

    def _make_room(self, key: ComponentKey, checkpoint: Checkpoint) -> None:
        """Evict until the component fits."""
        needed = {} if self._run is None else needed_by(self._run.pending_values())
        if self._limit is not None:
            self._refuse_too_large({**needed, key: checkpoint}, key)
        if self._low_ram:
            self._drop(list(self._components))
            return
        excess = self.resident_bytes + _estimate(key, checkpoint) - self.memory_limit
        victims = []
        for victim in sorted(self._components, key=needed.__contains__):  # Stable: least recent first.
            if excess <= 0:
                break
            victims.append(victim)
            excess -= self._components[victim].nbytes
        self._drop(victims)

    def _refuse_too_large(self, needed: Mapping[ComponentKey, Checkpoint], first: ComponentKey) -> None:
        """Raise MemoryLimitError if `first`, or what the run needs later, is larger than the limit alone.

        What is not on this machine yet is judged when its turn comes.
        """
        sizes = {
            f"the {key.component} of {checkpoint.name}": _estimate(key, checkpoint)
            for key, checkpoint in needed.items()
            if key == first or checkpoint.repo is None
        }
        limit = self.memory_limit
        if too_large := [f"{what} needs {bytes_text(size)}" for what, size in sizes.items() if size > limit]:
            raise MemoryLimitError(
                f"The memory limit of {bytes_text(limit)} is too small: {', '.join(too_large)}. "
                "Raise the limit, or set quantize to a smaller number of bits."
            )

    def _drop(self, keys: Iterable[ComponentKey]) -> int:
        """Let go of these components; a network's adapted ones leave with it."""
        leaving = set(keys)
        leaving |= {key for key in self._components if key.base in leaving}
        released = 0
        for key in [key for key in self._components if key in leaving]:
            nbytes = self._components.pop(key).nbytes
            self._transformers.pop(key, None)
            released += nbytes
            self._tell(ModelEvicted(self._names.pop(key), key.component, nbytes, self.resident_bytes))
        if released:
            release_cache()
        return released

    def _tell(self, event: Event) -> None:
        if self._run is not None:
            self._run.emit(event)


def _estimate(key: ComponentKey, checkpoint: Checkpoint) -> int:
    """Bytes that the component will take, told from its files' headers; 0 while they are not here yet."""
    folder = checkpoint.place(key.component)
    if folder is None:
        return 0
    return estimated_bytes(folder / key.component, key.quantize, compute_dtype().size)
