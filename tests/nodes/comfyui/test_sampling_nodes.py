"""ComfyUI's nodes for samplers, noise levels and noise: equal to its own results, and thin."""

import inspect
import json
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from comfyui_sampler_cases import FOLDER

from run_graph.graph import Node, Registry
from run_graph.graph.declaration import inputs_of
from run_graph.nodes import (
    NODES,
    BasicScheduler,
    BetaSamplingScheduler,
    DisableNoise,
    FluxSample,
    KSamplerSelect,
    LoadFlux,
    ManualSigmas,
    ModelSamplingFlux,
    RandomNoise,
    SamplerDPMPP_2M_SDE,
    SamplerEulerCFGpp,
    SamplingPercentToSigma,
    SetFirstSigma,
    SplitSigmas,
)
from run_graph.nodes.comfyui import samplers
from run_graph.runtime.cache.serialization import deserialize, digest_of, serialize
from run_graph.runtime.sampling.samplers import SAMPLERS
from run_graph.runtime.testing import NodeBench
from run_graph.runtime.values import Conditioning, Sigmas

REGISTRY = Registry(NODES)
CASES = sorted(path.stem for path in [*FOLDER.glob("schedulers_*.npz"), *FOLDER.glob("sigma_nodes.npz")])
LEFT_OUT = {"GITSScheduler"}  # Its table, of Stable Diffusion's levels, is published under the GPL only.
NOT_NUMBERS = {"kl_optimal_1_10", "kl_optimal_1_06"}  # ComfyUI's; ours are

WITH_OPTIONS = [node for node in NODES if node.__module__ == samplers.__name__ and node is not KSamplerSelect]


class Prompt:
    """An API prompt, each of whose nodes is run once it is asked for."""

    def __init__(self, bench: NodeBench, name: str, models: dict[str, str]) -> None:
        self._bench = bench
        self._nodes = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        self._models = models
        self._made: dict[str, list[Any]] = {}

    def place(self, capture: str) -> tuple[str, int]:
        """The node and the slot of what was captured under this name."""
        node_id, _, slot = capture.rpartition("_")
        return (capture, 0) if capture in self._nodes else (node_id, int(slot))

    def class_of(self, node_id: str) -> str:
        return self._nodes[node_id]["class_type"]

    def output(self, node_id: str, slot: int) -> Any:
        if node_id not in self._made:
            node = self._nodes[node_id]
            if node["class_type"] == "UNETLoader":
                model = self._models["schnell" if "schnell" in node["inputs"]["unet_name"] else "dev"]
                self._made[node_id] = [self._bench.run(LoadFlux(model=model)).flux]
            else:
                inputs = {
                    name: self.output(*value) if isinstance(value, list) else value
                    for name, value in node["inputs"].items()
                }
                made = self._bench.run(REGISTRY[node["class_type"]](**inputs))
                self._made[node_id] = list(vars(made).values())
        return self._made[node_id][slot]


@pytest.mark.parametrize("case", CASES)
def test_noise_levels_are_comfyuis(case: str, bench: NodeBench, small_model: str, schnell_like: str) -> None:
    prompt = Prompt(bench, case, {"dev": small_model, "schnell": schnell_like})
    with np.load(FOLDER / f"{case}.npz") as expected:
        captured = {name: expected[name] for name in expected.files if not name.startswith("_")}
    compared = 0
    for name, levels in captured.items():
        node_id, slot = prompt.place(name)
        if prompt.class_of(node_id) in LEFT_OUT or name in NOT_NUMBERS:
            continue
        value = prompt.output(node_id, slot)
        ours = value.levels if isinstance(value, Sigmas) else np.float32(value)
        assert ours.shape == levels.shape, name
        np.testing.assert_allclose(ours, levels, rtol=0, atol=1e-4 * np.abs(levels).max(initial=0))
        compared += 1
    assert compared >= 9


# -- samplers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("node_class", WITH_OPTIONS)
def test_a_sampler_node_gives_options_that_its_sampler_has(node_class: type[Node], bench: NodeBench) -> None:
    chosen = bench.run(node_class()).sampler
    parameters = inspect.signature(SAMPLERS[chosen.name].advance).parameters
    assert dict(chosen.options).keys() <= parameters.keys()
    # All of the node's inputs are options, but for where ComfyUI draws noise.
    assert dict(chosen.options).keys() == inputs_of(node_class).keys() - {"noise_device"}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_is_chosen_by_name(name: str, bench: NodeBench) -> None:
    chosen = bench.run(KSamplerSelect(sampler_name=name)).sampler
    assert (chosen.name, chosen.options) == (name, ())


def test_choices_are_kept_by_value(bench: NodeBench) -> None:
    one, same, other = (
        bench.run(SamplerDPMPP_2M_SDE(eta=eta, noise_device=device)).sampler
        for eta, device in [(0.5, "gpu"), (0.5, "cpu"), (0.6, "cpu")]
    )
    assert digest_of(one) == digest_of(same) != digest_of(other)
    again = deserialize(serialize(one))
    assert (again.name, again.options) == (one.name, one.options)


def test_an_input_called_version_leaves_the_class_its_version(bench: NodeBench) -> None:
    assert SamplerEulerCFGpp.version == 1
    assert bench.run(SamplerEulerCFGpp(version="alternative")).sampler.options == (
        ("version", "alternative"),
    )


# -- noise ------------------------------------------------------------------------------------------


def test_noise_is_a_seed_or_none(bench: NodeBench) -> None:
    added, none = bench.run(RandomNoise(noise_seed=2**64 - 1)).noise, bench.run(DisableNoise()).noise
    assert (added.seed, added.is_added) == (2**64 - 1, True)
    assert (none.seed, none.is_added) == (0, False)


# -- the model's levels -----------------------------------------------------------------------------


def test_shifting_a_model_leaves_the_other_as_it_was(bench: NodeBench, small_model: str) -> None:
    flux = bench.run(LoadFlux(model=small_model)).flux
    shifted = bench.run(ModelSamplingFlux(model=flux, max_shift=3.0, width=1024, height=1024)).model
    assert flux.mu is None
    assert shifted.mu == pytest.approx(3.0)
    assert shifted.affinity == flux.affinity
    levels = [bench.run(BasicScheduler(model=model, steps=4)).sigmas.to_list() for model in (flux, shifted)]
    assert all(more > less for less, more in zip(levels[0][1:-1], levels[1][1:-1], strict=True))


def test_our_own_sampler_follows_a_shift_that_a_node_set(bench: NodeBench, small_model: str) -> None:
    flux = bench.run(LoadFlux(model=small_model)).flux
    given = Conditioning.of(mx.ones((1, 20, 128)), mx.ones((1, 64)), "a fox")
    ends = []
    for max_shift in (1.15, 3.0):
        model = bench.run(ModelSamplingFlux(model=flux, max_shift=max_shift)).model
        node = FluxSample(flux=model, conditioning=given, width=32, height=32, steps=2)
        ends.append(np.array(bench.run(node).latent.samples))
    assert np.abs(ends[0] - ends[1]).max() > 1e-4


def test_a_shift_that_leaves_no_levels_is_refused(bench: NodeBench, small_model: str) -> None:
    flux = bench.run(LoadFlux(model=small_model)).flux
    node = ModelSamplingFlux(model=flux, max_shift=100, base_shift=0, width=16384, height=16384)
    with pytest.raises(ValueError, match="use a smaller max_shift or size"):
        bench.run(node)


def test_a_level_is_asked_for_by_its_part_of_the_way(bench: NodeBench, schnell_like: str) -> None:
    flux = bench.run(LoadFlux(model=schnell_like)).flux

    def level(part: float, actual: bool) -> float:
        node = SamplingPercentToSigma(model=flux, sampling_percent=part, return_actual_sigma=actual)
        return bench.run(node).sigma_value

    assert [level(part, False) for part in (0, 0.25, 1)] == [1.0, 0.75, 0.0]
    assert level(1, True) == 0.001


# -- what cannot be done ----------------------------------------------------------------------------


def test_no_levels_are_levels(bench: NodeBench, small_model: str) -> None:
    flux = bench.run(LoadFlux(model=small_model)).flux
    none = bench.run(BasicScheduler(model=flux, denoise=0.0)).sigmas
    assert none.to_list() == []
    assert deserialize(serialize(none)).to_list() == []
    with pytest.raises(ValueError, match="no first noise level to replace"):
        bench.run(SetFirstSigma(sigmas=none))
    assert bench.run(SplitSigmas(sigmas=none, step=3)).low_sigmas.to_list() == []


def test_faults_name_what_to_do(bench: NodeBench, small_model: str) -> None:
    flux = bench.run(LoadFlux(model=small_model)).flux
    with pytest.raises(ValueError, match="alpha and beta must be above 0"):
        bench.run(BetaSamplingScheduler(model=flux, alpha=0.0))
    with pytest.raises(ValueError, match="write decimal numbers"):
        bench.run(ManualSigmas(sigmas="1, half"))
