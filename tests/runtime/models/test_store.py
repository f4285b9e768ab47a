"""The model store: components are loaded once, evicted in order, and kept within the budget."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from run_graph.runtime.current_run import serving
from run_graph.runtime.errors import CheckpointError, MemoryLimitError, ModelError
from run_graph.runtime.events import (
    Event,
    ModelEvicted,
    ModelLoaded,
    NodeFinished,
    RunFinished,
    StageMemory,
)
from run_graph.runtime.models import loading
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import COMPONENTS, Component
from run_graph.runtime.models.handles import Flux, TextEncoders, Vae
from run_graph.runtime.models.loading import load_component
from run_graph.runtime.models.sizes import estimated_bytes
from run_graph.runtime.models.store import ModelStore


@pytest.fixture
def checkpoint(small_folder: Path) -> Checkpoint:
    return Checkpoint("small", folder=small_folder)


def held(store: ModelStore) -> list[Component]:
    return [key.component for key, _ in store.resident()]


def size(checkpoint: Checkpoint, *components: Component) -> int:
    return sum(load_component(checkpoint, component).nbytes for component in components)


def test_nothing_is_loaded_before_it_is_used(checkpoint: Checkpoint) -> None:
    store = ModelStore()
    assert store.resident() == []
    assert not store.loads


def test_a_component_is_read_once(checkpoint: Checkpoint) -> None:
    store = ModelStore()
    first = store.get(checkpoint, "image_embedder")
    assert store.get(checkpoint, "image_embedder") is first
    assert list(store.loads.values()) == [1]
    assert [(key.component, key.quantize) for key, _ in store.resident()] == [("image_embedder", None)]


def test_two_names_of_one_checkpoint_share_its_weights(checkpoint: Checkpoint) -> None:
    store = ModelStore()
    same = Checkpoint("other name", folder=checkpoint.folder)
    assert store.get(checkpoint, "image_embedder") is store.get(same, "image_embedder")


def test_each_precision_is_resident_by_itself(checkpoint: Checkpoint) -> None:
    store = ModelStore()
    exact, packed = store.get(checkpoint, "image_embedder"), store.get(checkpoint, "image_embedder", 4)
    assert packed.nbytes < exact.nbytes
    assert store.resident_bytes == exact.nbytes + packed.nbytes


def test_the_component_used_longest_ago_leaves_first(checkpoint: Checkpoint) -> None:
    store = ModelStore(size(checkpoint, "text_encoder", "image_encoder", "text_encoder_2"))
    store.get(checkpoint, "image_encoder")
    store.get(checkpoint, "text_encoder")
    store.get(checkpoint, "image_encoder")
    store.get(checkpoint, "text_encoder_2")
    assert held(store) == ["text_encoder", "image_encoder", "text_encoder_2"]
    store.get(checkpoint, "image_embedder")
    assert held(store) == ["image_encoder", "text_encoder_2", "image_embedder"]
    assert store.resident_bytes <= store.memory_limit


def test_room_is_made_before_the_weights_are_read(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(size(checkpoint, "transformer"))
    store.get(checkpoint, "text_encoder_2")
    at_load: list[list[Component]] = []

    def watched(*arguments: Any, **options: Any) -> object:
        at_load.append(held(store))
        return load_component(*arguments, **options)

    monkeypatch.setattr(loading, "load_component", watched)
    store.get(checkpoint, "transformer")
    assert at_load == [[]], "T5 is gone when the transformer's weights are read"


@pytest.mark.parametrize("quantize", [None, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("component", COMPONENTS)
def test_sizes_are_known_from_headers_alone(
    checkpoint: Checkpoint, component: Component, quantize: int | None
) -> None:
    estimate = estimated_bytes(checkpoint.source(component), quantize, 4)
    loaded = load_component(checkpoint, component, quantize).nbytes
    # SigLIP's estimate has its pooling head, which is not loaded; T5's has the position bias only once.
    assert 0.99 * loaded <= estimate <= 1.5 * loaded


def test_a_component_larger_than_the_users_limit_is_refused_with_numbers(checkpoint: Checkpoint) -> None:
    store = ModelStore(memory_limit=1_000_000)
    store.get(checkpoint, "image_embedder")
    with pytest.raises(MemoryLimitError, match=r"limit of 1\.0 MB .*transformer of small needs \d+\.\d MB"):
        store.get(checkpoint, "transformer")
    assert held(store) == ["image_embedder"], "nothing was evicted for a load that is refused"


def test_without_a_limit_of_the_user_even_a_larger_component_loads_alone(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("run_graph.runtime.models.store.memory_budget", lambda: 1_000_000)
    store = ModelStore()
    store.get(checkpoint, "image_embedder")
    store.get(checkpoint, "transformer")
    assert held(store) == ["transformer"]


def test_the_machines_own_budget_is_less_than_its_memory() -> None:
    assert 1e8 < ModelStore().memory_limit < 1e13


class Run:
    """A run in which stages that have not finished will read these values."""

    def __init__(self, *pending: object) -> None:
        self.pending = pending
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def pending_values(self) -> Iterator[object]:
        return iter(self.pending)


def finish_stage(store: ModelStore) -> None:
    """The end of a stage, after which a store with `low_ram` evicts all that the run no longer needs."""
    store.observe(NodeFinished("node", "FluxSample", 1.0, {}))


def test_an_eviction_reports_its_bytes_and_the_next_use_loads_again(checkpoint: Checkpoint) -> None:
    store, run = ModelStore(low_ram=True), Run()
    with serving(run):
        nbytes = store.get(checkpoint, "image_embedder").nbytes
        store.get(checkpoint, "text_encoder")
        assert held(store) == ["text_encoder"]
        [evicted] = [event for event in run.events if isinstance(event, ModelEvicted)]
        assert (evicted.component, evicted.nbytes) == ("image_embedder", nbytes)
        store.get(checkpoint, "image_embedder")
        assert sorted(store.loads.values()) == [1, 2]
        finish_stage(store)
        assert store.resident() == []


def test_what_the_run_needs_of_one_checkpoint_does_not_keep_that_of_another(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    assert checkpoint.folder is not None
    shutil.copytree(checkpoint.folder / "text_encoder_2", tmp_path / "other" / "text_encoder_2")
    other = Checkpoint("other", folder=tmp_path / "other")
    store = ModelStore(2 * size(checkpoint, "text_encoder_2"))
    with serving(Run(TextEncoders(checkpoint))):
        store.get(checkpoint, "text_encoder_2")
        store.get(other, "text_encoder_2")
        store.get(checkpoint, "text_encoder")
        assert held(store) == ["text_encoder_2", "text_encoder"]
        assert {key.identity for key, _ in store.resident()} == {checkpoint.identity}


def test_evicted_weights_leave_memory(checkpoint: Checkpoint) -> None:
    import gc

    import mlx.core as mx

    store = ModelStore(low_ram=True)
    before = mx.get_active_memory()
    nbytes = store.get(checkpoint, "transformer").nbytes
    assert mx.get_active_memory() - before >= nbytes
    finish_stage(store)
    gc.collect()
    assert mx.get_active_memory() - before < nbytes / 100


def test_quantising_keeps_no_second_copy(checkpoint: Checkpoint) -> None:
    import mlx.core as mx

    before = mx.get_active_memory()
    loaded = load_component(checkpoint, "transformer", 4)
    assert mx.get_active_memory() - before < 1.1 * loaded.nbytes


def test_the_transformer_is_one_object_until_it_is_evicted(checkpoint: Checkpoint) -> None:
    store = ModelStore(low_ram=True)
    first = store.transformer(checkpoint)
    assert store.transformer(checkpoint) is first
    assert held(store) == ["transformer"]
    finish_stage(store)
    assert store.transformer(checkpoint) is not first


def test_tokenizers_are_read_once(checkpoint: Checkpoint) -> None:
    store = ModelStore()
    assert store.tokenizer(checkpoint, "t5") is store.tokenizer(checkpoint, "t5")


def test_a_failed_load_leaves_the_store_as_it_was(checkpoint: Checkpoint, tmp_path: Path) -> None:
    store = ModelStore()
    store.get(checkpoint, "image_embedder")
    (tmp_path / "vae").mkdir()
    with pytest.raises(CheckpointError, match="contains no"):
        store.get(Checkpoint("broken", folder=tmp_path), "vae")
    assert held(store) == ["image_embedder"]


def test_an_unknown_number_of_bits_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelError, match="quantize is 7; it must be none or one of 3, 4, 5, 6, 8"):
        ModelStore().get(checkpoint, "vae", 7)


def test_threads_that_ask_at_once_share_one_load(checkpoint: Checkpoint) -> None:
    store = ModelStore()
    threads = [threading.Thread(target=store.get, args=(checkpoint, "image_embedder")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(store.loads.values()) == [1]


def test_what_the_run_still_needs_leaves_last(checkpoint: Checkpoint) -> None:
    store = ModelStore(size(checkpoint, "text_encoder_2", "image_encoder") + 150_000)
    with serving(Run("a value of another kind", TextEncoders(checkpoint))):
        store.get(checkpoint, "text_encoder_2")
        store.get(checkpoint, "image_encoder")
        store.get(checkpoint, "image_embedder")
        assert held(store) == ["text_encoder_2", "image_embedder"], "SigLIP was used later, but is done with"


def test_a_need_for_another_precision_keeps_nothing(checkpoint: Checkpoint) -> None:
    store = ModelStore(size(checkpoint, "text_encoder_2", "image_encoder") + 150_000)
    with serving(Run(TextEncoders(checkpoint, quantize=4))):
        store.get(checkpoint, "text_encoder_2")
        store.get(checkpoint, "image_encoder")
        store.get(checkpoint, "image_embedder")
        assert held(store) == ["image_encoder", "image_embedder"]


def test_a_store_forgets_a_run_at_its_end(checkpoint: Checkpoint) -> None:
    store, run = ModelStore(low_ram=True), Run()
    with serving(run):
        store.get(checkpoint, "image_embedder")
        store.observe(RunFinished("done", 1.0))
    store.get(checkpoint, "text_encoder")
    assert held(store) == ["text_encoder"]
    assert [type(event) for event in run.events] == [ModelLoaded]


def test_runs_at_once_are_told_of_their_own_loads_and_stages(checkpoint: Checkpoint) -> None:
    store, one, other = ModelStore(), Run(), Run()
    with serving(one):
        store.get(checkpoint, "image_embedder")
    with serving(other):
        store.get(checkpoint, "text_encoder")
        store.get(checkpoint, "image_embedder")  # loaded by the other run
        finish_stage(store)
        finish_stage(store)  # a stage without models
    with serving(one):
        finish_stage(store)
    assert [type(event) for event in one.events] == [ModelLoaded, StageMemory]
    assert [type(event) for event in other.events] == [ModelLoaded, StageMemory]
    assert [run.events[0].component for run in (one, other)] == [  # type: ignore[attr-defined]
        "image_embedder",
        "text_encoder",
    ]


def test_a_stage_keeps_its_peak_when_another_run_begins_one(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    peak = [0]
    monkeypatch.setattr("run_graph.runtime.models.store.memory_in_use", lambda: (1, peak[0]))
    monkeypatch.setattr("run_graph.runtime.models.store.start_peak", lambda: peak.__setitem__(0, 1))
    store, one, other = ModelStore(), Run(), Run()
    with serving(one):
        store.get(checkpoint, "image_embedder")
        peak[0] = 500
    with serving(other):
        store.get(checkpoint, "image_embedder")
        peak[0] = 20
        finish_stage(store)
    with serving(one):
        finish_stage(store)
    peaks = [
        event.peak_bytes for run in (one, other) for event in run.events if isinstance(event, StageMemory)
    ]
    assert peaks == [500, 20]


def test_all_that_is_too_large_is_named_at_once(checkpoint: Checkpoint) -> None:
    store = ModelStore(memory_limit=1_000_000)
    with serving(Run(Flux(checkpoint), TextEncoders(checkpoint))):
        with pytest.raises(MemoryLimitError) as caught:
            store.get(checkpoint, "image_embedder")
        message = str(caught.value)
        assert "the transformer of small needs" in message
        assert "the text_encoder_2 of small needs" in message
        assert "the text_encoder of" not in message, "that one fits"
        assert not store.loads


def test_there_is_room_for_what_is_resident_or_fits_beside_it(checkpoint: Checkpoint) -> None:
    transformer, vae = size(checkpoint, "transformer"), size(checkpoint, "vae")
    store = ModelStore(memory_limit=int(1.05 * (transformer + vae)))
    store.get(checkpoint, "transformer")
    assert store.has_room_for([Flux(checkpoint)])
    assert store.has_room_for([Vae(checkpoint), "no model"])
    tight = ModelStore(memory_limit=int(1.05 * max(transformer, vae)))
    tight.get(checkpoint, "transformer")
    assert tight.has_room_for([Flux(checkpoint)])
    assert not tight.has_room_for([Vae(checkpoint)])


def test_with_low_ram_there_is_room_for_what_is_resident_alone(checkpoint: Checkpoint) -> None:
    store = ModelStore(low_ram=True)
    store.get(checkpoint, "transformer")
    assert store.has_room_for([Flux(checkpoint)])
    assert not store.has_room_for([Vae(checkpoint)])
