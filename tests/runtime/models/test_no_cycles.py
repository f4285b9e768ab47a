"""A component that leaves the store leaves memory at once, without the cycle collector."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from engine import ENVIRONMENT

from run_graph.graph import Workflow
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.events import NodeFinished
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import COMPONENTS, Component
from run_graph.runtime.models.lora_files import Lora
from run_graph.runtime.models.store import ModelStore

SPARE = 10_000  # bytes: constants that MLX and the networks keep


@pytest.fixture
def checkpoint(small_folder: Path) -> Checkpoint:
    return Checkpoint("small", folder=small_folder)


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def finish_stage(store: ModelStore) -> None:
    """After which a store with `low_ram` evicts all that is no longer needed."""
    store.observe(NodeFinished("node", "FluxSample", 1.0, {}))


@pytest.mark.parametrize("bits", [None, 4])
@pytest.mark.parametrize("component", COMPONENTS)
def test_an_evicted_component_is_freed(
    checkpoint: Checkpoint, component: Component, bits: int | None
) -> None:
    store, before = ModelStore(low_ram=True), mx.get_active_memory()
    nbytes = store.get(checkpoint, component, bits).nbytes
    assert mx.get_active_memory() - before > 0.9 * nbytes > 2 * SPARE
    finish_stage(store)
    assert mx.get_active_memory() - before < SPARE


@pytest.mark.parametrize("used", [False, True])
def test_an_evicted_transformer_is_freed(checkpoint: Checkpoint, used: bool) -> None:
    store, before = ModelStore(low_ram=True), mx.get_active_memory()
    transformer = store.transformer(checkpoint)
    if used:
        prepared = transformer.prepare(mx.zeros((1, 5, 128)), mx.zeros((1, 64)), 3.5, height=64, width=64)
        mx.eval(transformer.velocity(mx.zeros((1, 16, 64)), 0.7, prepared))
        del prepared
    assert mx.get_active_memory() - before > 10 * SPARE
    del transformer
    finish_stage(store)
    assert mx.get_active_memory() - before < SPARE


def test_an_adapted_transformer_is_freed(
    checkpoint: Checkpoint, sizes: Any, saved: Callable[..., Lora]
) -> None:
    from lora_samples import diffusers

    lora = saved(diffusers(sizes), 0.5)
    store, before = ModelStore(low_ram=True), mx.get_active_memory()
    store.transformer(checkpoint, loras=(lora,))
    assert mx.get_active_memory() - before > 10 * SPARE
    finish_stage(store)
    assert mx.get_active_memory() - before < SPARE


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_store_is_freed_with_its_components(checkpoint: Checkpoint, component: Component) -> None:
    store, before = ModelStore(), mx.get_active_memory()
    store.get(checkpoint, component)
    del store
    assert mx.get_active_memory() - before < SPARE


def test_a_session_is_freed_with_its_models(small_folder: Path) -> None:
    given = Workflow.from_json(
        {
            "flux": {"class_type": "LoadFlux", "inputs": {"model": str(small_folder)}},
            "text": {
                "class_type": "TextEncode",
                "inputs": {"text_encoders": ["flux", "text_encoders"], "prompt": "a fox"},
            },
            "sample": {
                "class_type": "FluxSample",
                "inputs": {
                    "flux": ["flux", "flux"],
                    "conditioning": ["text", 0],
                    "width": 32,
                    "height": 32,
                    "steps": 2,
                },
            },
            "decode": {
                "class_type": "DecodeLatent",
                "inputs": {"vae": ["flux", "vae"], "latent": ["sample", 0]},
            },
        }
    )
    before = mx.get_active_memory()
    for _ in range(2):
        session = Session(cache=NoCache(), services=Services(ModelStore()))
        session.run(given, targets=["decode"], environment=ENVIRONMENT)
        assert mx.get_active_memory() - before > 10 * SPARE
        del session
        assert mx.get_active_memory() - before < SPARE
