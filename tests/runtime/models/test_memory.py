"""Memory during whole runs: who comes and goes when, and how much a staged run saves."""

import gc
import re
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import pytest
from small import WORKFLOWS, shipped, shrunk

from run_graph.graph import Registry, Workflow
from run_graph.nodes import NODES
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import MemoryLimitError, NodeFailed
from run_graph.runtime.events import Event, ModelEvicted, ModelLoaded, NodeFinished, NodeStarted, StageMemory
from run_graph.runtime.models.assembly import named
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import COMPONENTS, Component
from run_graph.runtime.models.loading import load_component
from run_graph.runtime.models.store import ModelStore
from training.layout.make import make_checkpoint
from training.layout.spec import TinySpec

# About 300 MB in float32, split among the components roughly as FLUX.1 dev and Redux dev are.
LARGE = TinySpec(
    heads=12,
    joint_blocks=1,
    single_blocks=1,
    t5_width=1024,
    t5_heads=8,
    t5_hidden=2048,
    t5_layers=3,
    t5_tokens=16,
    siglip_width=512,
    siglip_heads=8,
    siglip_hidden=2048,
    siglip_layers=4,
    siglip_image=98,
    vae_channels=(8, 16, 24, 24),
)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("large") / "large"
    make_checkpoint(folder, LARGE)
    return Checkpoint("large", folder=folder)


@pytest.fixture
def redux(small_model: str) -> Workflow:
    return shrunk(shipped("redux"), small_model)


@pytest.fixture(autouse=True)
def same_cache_limit_afterwards() -> Iterator[None]:
    before = mx.set_cache_limit(2**30)
    yield
    mx.set_cache_limit(before)


def run(workflow: Workflow, store: ModelStore, output: Path) -> list[Event]:
    """The events of a run of an example with its pictures in place."""
    events: list[Event] = []
    session = Session(Registry(NODES), NoCache(), Services(store))
    environment = RunEnvironment([WORKFLOWS], output)
    session.run(workflow, environment=environment, on_event=events.append)
    return events


def peak(events: list[Event]) -> int:
    """The most that MLX's arrays occupied while any stage ran."""
    return max(event.peak_bytes for event in events if isinstance(event, StageMemory))


def movements(events: list[Event]) -> list[str]:
    """What came (+) and went (-), in order."""
    signs = {ModelLoaded: "+", ModelEvicted: "-"}
    return [
        signs[type(event)] + event.component
        for event in events
        if isinstance(event, (ModelLoaded, ModelEvicted))
    ]


def test_a_staged_run_peaks_far_below_one_that_holds_everything(large: Checkpoint, tmp_path: Path) -> None:
    redux = shrunk(shipped("redux"), str(large.folder))
    gc.collect()
    others = mx.get_active_memory()  # such as what earlier tests' sessions keep
    # As mflux's Flux1Redux does, whose constructor loads all six components.
    store = ModelStore()
    for component in COMPONENTS:
        store.get(large, component)
    everything = peak(run(redux, store, tmp_path)) - others
    assert everything > store.resident_bytes > 280e6
    del store
    for settings in ({"low_ram": True}, {"memory_limit": 150_000_000}):
        gc.collect()
        assert abs(mx.get_active_memory() - others) < 20e6, "all are measured from the same state"
        staged = peak(run(redux, ModelStore(**settings), tmp_path)) - others
        assert staged <= 0.6 * everything, f"{staged / 1e6:.0f} of {everything / 1e6:.0f} MB with {settings}"


def test_low_ram_holds_one_component_at_a_time_and_none_for_nothing(redux: Workflow, tmp_path: Path) -> None:
    moves = movements(run(redux, ModelStore(low_ram=True), tmp_path))
    assert sorted(moves[::2]) == sorted(f"+{component}" for component in COMPONENTS)
    assert [move[1:] for move in moves[1::2]] == [move[1:] for move in moves[::2]], "each leaves at once"
    assert moves[-4:] == ["+transformer", "-transformer", "+vae", "-vae"]


def test_low_ram_keeps_what_a_later_stage_needs(redux: Workflow, tmp_path: Path) -> None:
    twice = redux.to_json()
    twice["again"] = {**twice["sample"], "inputs": {**twice["sample"]["inputs"], "seed": 99}}
    twice["image2"] = {
        "class_type": "DecodeLatent",
        "inputs": {**twice["image"]["inputs"], "latent": ["again", 0]},
    }
    twice["save2"] = {"class_type": "SaveImage", "inputs": {"images": ["image2", 0]}}
    store = ModelStore(low_ram=True)
    run(Workflow.from_json(twice), store, tmp_path)
    assert set(store.loads.values()) == {1}


def test_low_ram_lets_mlx_keep_nothing_for_reuse(redux: Workflow, tmp_path: Path) -> None:
    run(redux, ModelStore(low_ram=True), tmp_path)
    assert mx.set_cache_limit(0) == 0


def test_mlx_cache_is_capped_by_a_share_of_the_budget_or_as_told(redux: Workflow, tmp_path: Path) -> None:
    run(redux, ModelStore(memory_limit=800_000_000), tmp_path)
    assert mx.set_cache_limit(0) == 100_000_000
    run(redux, ModelStore(cache_limit=12_345_678), tmp_path)
    assert mx.set_cache_limit(0) == 12_345_678


def test_without_pressure_everything_stays_for_the_next_run(redux: Workflow, tmp_path: Path) -> None:
    store = ModelStore()
    assert not [move for move in movements(run(redux, store, tmp_path)) if move.startswith("-")]
    assert movements(run(redux, store, tmp_path)) == []
    assert set(store.loads.values()) == {1}


def test_residency_events_add_up_and_keep_the_limit(
    redux: Workflow, small_model: str, tmp_path: Path
) -> None:
    limit = load_component(Checkpoint("small", folder=Path(small_model)), "transformer").nbytes + 100_000
    held = 0
    stage = None
    evicted = 0
    for event in run(redux, ModelStore(memory_limit=limit), tmp_path):
        if isinstance(event, NodeStarted):
            stage = event.node_id
        if isinstance(event, (ModelLoaded, ModelEvicted)):
            held += event.nbytes if isinstance(event, ModelLoaded) else -event.nbytes
            evicted += isinstance(event, ModelEvicted)
            assert 0 <= event.resident_bytes == held <= limit
            assert stage is not None, "weights move only while a node runs"
        if isinstance(event, StageMemory):
            assert (event.node_id, event.resident_bytes) == (stage, held)
            assert event.peak_bytes >= event.active_bytes
        if isinstance(event, NodeFinished):
            stage = None
    assert evicted


def test_a_run_without_models_tells_nothing_of_memory(tmp_path: Path) -> None:
    picture = {"class_type": "LoadImage", "inputs": {"image": "images/sunset.png"}}
    save = {"class_type": "SaveImage", "inputs": {"images": ["photo", 0]}}
    events = run(Workflow.from_json({"photo": picture, "save": save}), ModelStore(), tmp_path)
    assert not [event for event in events if isinstance(event, (ModelLoaded, StageMemory))]


def test_a_limit_too_small_for_a_later_component_is_refused_before_anything_is_read(
    redux: Workflow, tmp_path: Path
) -> None:
    store = ModelStore(memory_limit=2_000_000)
    with pytest.raises(NodeFailed) as caught:
        run(redux, store, tmp_path)
    assert isinstance(caught.value.__cause__, MemoryLimitError)
    message = str(caught.value)
    assert re.search(r"limit of 2\.0 MB is too small: .*the transformer of \S+ needs [3-9]\.\d MB", message)
    assert "Raise the limit, or set quantize" in message
    assert not store.loads


@pytest.mark.parametrize("component", ["transformer", "text_encoder_2"])
def test_quantising_while_loading_never_holds_the_whole_unquantised_component(
    large: Checkpoint, component: Component
) -> None:
    whole = load_component(large, component)
    largest = max(array.nbytes for array in named(whole.module.parameters()).values())
    unquantised = whole.nbytes
    del whole
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    packed = load_component(large, component, 4)
    added = mx.get_peak_memory() - before
    assert packed.nbytes < unquantised / 5
    assert added < packed.nbytes + 3 * largest < unquantised / 2
