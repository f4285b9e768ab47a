"""Modulation layers that are not kept: the same bits as with them, read once, one at a time in memory."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from lora_samples import Sizes, kohya

from run_graph.graph import Node
from run_graph.nodes import FluxSample, KSampler, LoadFlux
from run_graph.runtime.models import loading
from run_graph.runtime.models.architecture import is_modulation_layer
from run_graph.runtime.models.assembly import leaves
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.handles import Flux
from run_graph.runtime.models.loading import load_component, streamed_layers
from run_graph.runtime.models.lora_files import Lora
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.networks.modulation import LEVELS_AT_ONCE
from run_graph.runtime.networks.streamed_modulation import LEVELS_A_READING
from run_graph.runtime.networks.transformer import FluxTransformer
from run_graph.runtime.testing import NodeBench
from run_graph.runtime.values import Conditioning, Entry, Latent
from training.layout.make import make_checkpoint
from training.layout.spec import TinySpec


@pytest.fixture
def checkpoint(small_folder: Path) -> Checkpoint:
    return Checkpoint("small", folder=small_folder)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the layers that were streamed, in order."""
    read: list[str] = []

    def watched(*arguments: Any) -> Iterator[tuple[str, Any]]:
        for path, layer in streamed_layers(*arguments):
            read.append(path)
            yield path, layer

    monkeypatch.setattr(loading, "streamed_layers", watched)
    return read


def conditioning(key: int = 9) -> Conditioning:
    tokens, pooled = (mx.random.normal(shape, key=mx.random.key(key)) for shape in ((1, 20, 128), (1, 64)))
    return Conditioning((Entry(tokens, pooled, "a fox"),))


def native(flux: Flux, **settings: Any) -> Node:
    given = {"width": 48, "height": 32, "steps": 3, "seed": 1, **settings}
    return FluxSample(**{"flux": flux, "conditioning": conditioning(), **given})


def comfyui(flux: Flux, **settings: Any) -> Node:
    given = {"seed": 1, "steps": 3, "cfg": 1.0, "latent_image": Latent(mx.zeros((1, 4, 6, 16))), **settings}
    return KSampler(model=flux, positive=conditioning(1), negative=conditioning(2), **given)


def loaded(bench: NodeBench, folder: Path, **settings: Any) -> Flux:
    return bench.run(LoadFlux(model=str(folder), **settings)).flux


def made(bench: NodeBench, node: Node, resume: Any = None) -> np.ndarray:
    return np.array(bench.run(node, resume=resume).latent.samples)


def transformer_of(store: ModelStore) -> Any:
    [key] = [key for key, _ in store.resident() if key.component == "transformer" and not key.loras]
    return store._components[key]


CASES: list[tuple[Callable[..., Node], dict[str, Any]]] = [
    (native, {}),
    (native, {"steps": LEVELS_AT_ONCE + 2}),
    (native, {"sampler": "heun"}),
    (native, {"sampler": "dpm_2", "steps": 4}),
    (native, {"sampler": "seeds_3"}),
    (native, {"steps": 6, "step_reuse": 1.5}),
    (comfyui, {"cfg": 4.0}),
    (comfyui, {"sampler_name": "dpmpp_sde", "cfg": 4.0}),
    (comfyui, {"sampler_name": "dpmpp_2s_ancestral_cfg_pp", "denoise": 0.6}),
    (comfyui, {"sampler_name": "dpm_adaptive"}),
]


@pytest.mark.parametrize(
    ("make", "settings", "quantize"), [*((*case, None) for case in CASES), (native, {}, 4)]
)
def test_pictures_are_the_same_to_the_bit(
    small_folder: Path,
    tmp_path: Path,
    make: Callable[..., Node],
    settings: dict[str, Any],
    quantize: int | None,
) -> None:
    store = ModelStore(low_ram=True)
    whole, short = NodeBench(tmp_path), NodeBench(tmp_path, store)
    flux = loaded(whole, small_folder, quantize=quantize)
    expected = made(whole, make(flux, **settings))
    np.testing.assert_array_equal(made(short, make(flux, **settings)), expected)
    kept = [path for path, _ in leaves(transformer_of(store).module) if is_modulation_layer(path)]
    assert transformer_of(store).streamed == (settings.get("sampler_name") != "dpm_adaptive")
    assert bool(kept) != transformer_of(store).streamed


def test_an_interrupted_run_resumes_to_the_same_bits(small_folder: Path, tmp_path: Path) -> None:
    bench = NodeBench(tmp_path, ModelStore(low_ram=True))
    node = native(loaded(bench, small_folder), sampler="dpm_2", steps=LEVELS_AT_ONCE)
    unbroken = made(bench, node)
    state = bench.states[LEVELS_AT_ONCE // 2 + 1]
    np.testing.assert_array_equal(made(NodeBench(tmp_path, ModelStore()), node, state), unbroken)
    np.testing.assert_array_equal(made(NodeBench(tmp_path, ModelStore(low_ram=True)), node, state), unbroken)


def test_a_loras_modulation_layers_are_streamed_too(
    small_folder: Path, tmp_path: Path, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    lora = saved(kohya(sizes), scale=0.7)
    samples = []
    for settings in ({}, {"low_ram": True}):
        store = ModelStore(**settings)
        bench = NodeBench(tmp_path, store)
        flux = loaded(bench, small_folder)
        plain = made(bench, native(flux))
        samples.append(made(bench, native(replace(flux, loras=(lora,)))))
        assert transformer_of(store).streamed == bool(settings)
        assert np.abs(samples[-1] - plain).max() > 1e-3
    np.testing.assert_array_equal(*samples)


def test_layers_are_read_once_for_all_steps_prompts_and_seeds(
    small_folder: Path, tmp_path: Path, readings: list[str]
) -> None:
    bench = NodeBench(tmp_path, ModelStore(low_ram=True))
    flux = loaded(bench, small_folder)
    bench.run(comfyui(flux, cfg=4.0, steps=6))
    once = list(readings)
    assert len(once) == len(set(once)) == 5, "of a joint block, two single blocks and the output"
    bench.run(comfyui(flux, cfg=4.0, steps=6, seed=2))
    assert readings == once
    bench.run(comfyui(flux, cfg=4.0, steps=7))
    assert readings == once * 2


def test_more_levels_than_fit_are_read_in_turns(checkpoint: Checkpoint, readings: list[str]) -> None:
    count = LEVELS_A_READING + 2
    levels = [1 - index / count for index in range(count)]
    transformer = ModelStore(low_ram=True).transformer(checkpoint)
    whole = ModelStore().transformer(checkpoint)
    entry = conditioning().only
    given = (entry.tokens, entry.pooled, 3.5, 32, 32)
    streamed = transformer.modulations(transformer.prepare(*given), levels)
    expected = whole.modulations(whole.prepare(*given), levels)
    for index in (0, 1, LEVELS_A_READING - 1, LEVELS_A_READING, count - 1):
        ours, theirs = streamed.at(levels[index]), expected.at(levels[index])
        assert mx.array_equal(ours.out, theirs.out).item()
        assert mx.array_equal(ours.joint[0][1], theirs.joint[0][1]).item()
        assert mx.array_equal(ours.single[1], theirs.single[1]).item()
    assert len(readings) == 2 * 5


def test_a_level_that_was_not_announced_is_computed(checkpoint: Checkpoint) -> None:
    entry = conditioning().only
    found = []
    for store in (ModelStore(low_ram=True), ModelStore()):
        transformer: FluxTransformer = store.transformer(checkpoint)
        prepared = transformer.prepare(entry.tokens, entry.pooled, 3.5, 32, 32)
        found.append(transformer.modulations(prepared, [1.0, 0.5]).at(0.7).out)
    assert mx.array_equal(*found).item()


def test_whoever_asks_for_the_whole_transformer_gets_it(checkpoint: Checkpoint) -> None:
    store = ModelStore(low_ram=True)
    store.transformer(checkpoint)
    assert transformer_of(store).streamed
    whole = store.get(checkpoint, "transformer")
    assert not whole.streamed
    assert whole.nbytes == load_component(checkpoint, "transformer").nbytes
    store.transformer(checkpoint)
    assert store.get(checkpoint, "transformer") is whole, "it stays while it is there"


def test_layers_are_streamed_where_the_whole_transformer_has_no_room(checkpoint: Checkpoint) -> None:
    whole = load_component(checkpoint, "transformer").nbytes
    t5 = load_component(checkpoint, "text_encoder_2").nbytes
    for limit, streamed in ((whole + t5 + 100_000, False), (whole + t5 - 100_000, True)):
        store = ModelStore(memory_limit=limit)
        store.get(checkpoint, "text_encoder_2")
        store.transformer(checkpoint)
        assert transformer_of(store).streamed == streamed
        assert len(store.resident()) == 2, "T5 stays in either case"


# Wide and shallow: a quarter of the weights modulate, as in FLUX.1.
WIDE = TinySpec(heads=16, joint_blocks=2, single_blocks=2)


def test_one_layer_at_a_time_is_in_memory(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "wide", WIDE)
    checkpoint = Checkpoint("wide", folder=tmp_path / "wide")
    entry = conditioning().only

    def peak(store: ModelStore) -> int:
        mx.clear_cache()
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        transformer = store.transformer(checkpoint)
        prepared = transformer.prepare(entry.tokens, entry.pooled, 3.5, 32, 32)
        mx.eval(transformer.modulations(prepared, [1.0, 0.5]).at(0.5))
        return mx.get_peak_memory() - before

    whole = load_component(checkpoint, "transformer")
    total = whole.nbytes
    sizes = {path: layer.weight.nbytes for path, layer in leaves(whole.module) if is_modulation_layer(path)}
    del whole
    assert 0.2 < sum(sizes.values()) / total < 0.3
    streamed = peak(ModelStore(low_ram=True))
    assert streamed < total - sum(sizes.values()) + 2 * max(sizes.values())
    assert peak(ModelStore()) > streamed + 0.15 * total
