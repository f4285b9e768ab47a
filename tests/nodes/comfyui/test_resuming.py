"""ComfyUI's samplers report each step, stop after it, and go on from there to the same bits.

Each sampler is interrupted after every one of its steps: alone, with guidance by a negative, with masks, and
with a batch of two. With the environment variable RUN_GRAPH_ALL_SAMPLERS all of them are; without it, one of
each kind.
"""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from cache_samples import disk
from PIL import Image
from processes import started

from run_graph.graph import Node, Registry, Workflow
from run_graph.nodes import (
    NODES,
    BasicScheduler,
    CFGGuider,
    DifferentialDiffusion,
    KSampler,
    KSamplerAdvanced,
    KSamplerSelect,
    LoadFlux,
    RandomNoise,
    SamplerCustomAdvanced,
)
from run_graph.runtime.engine.context import CancelToken, RunEnvironment
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import Cancelled
from run_graph.runtime.events import Event, NodeProgress, NodeResumed
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.sampling.latents import to_autoencoder_scale
from run_graph.runtime.sampling.samplers import SAMPLERS
from run_graph.runtime.testing import NodeBench
from run_graph.runtime.values import Conditioning, Entry, Latent

KINDS = (
    "euler",
    "ddim",  # other noise under a mask
    "lms",  # remembers several steps
    "seeds_3",  # adds noise several times a step
    "sa_solver_pece",  # uses the same noise twice
    "dpmpp_3m_sde",  # a Brownian path
    "dpm_adaptive",  # chooses its steps
    "dpm_fast",  # steps of several orders
    "uni_pc",  # changes the last level
    "euler_ancestral_cfg_pp",  # uses the negative by itself
)
TRIED = tuple(SAMPLERS) if os.environ.get("RUN_GRAPH_ALL_SAMPLERS") else KINDS
STEPS = 3
Made = Callable[[NodeBench, str, str], Node]


def conditioning(key: int) -> Conditioning:
    tokens = mx.random.normal((1, 20, 128), key=mx.random.key(key))
    return Conditioning((Entry(tokens, mx.ones((1, 64)), "a fox"),))


def pictures(count: int, is_masked: bool = False) -> Latent:
    """Latent pictures of 40 x 32 pixels, of which the right part is sampled if there is a mask."""
    samples = mx.random.normal((count, 4, 5, 16), key=mx.random.key(3))
    mask = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (1, 32, 1))
    return replace(Latent(samples), noise_mask=mask if is_masked else None)


def plain(bench: NodeBench, model: str, sampler: str) -> Node:
    """One picture from noise alone, without the negative."""
    return KSampler(
        model=bench.run(LoadFlux(model=model)).flux,
        seed=5,
        steps=STEPS,
        cfg=1.0,
        sampler_name=sampler,
        positive=conditioning(1),
        negative=conditioning(2),
        latent_image=Latent(mx.zeros((1, 4, 5, 16))),
    )


def guided_under_a_mask(bench: NodeBench, model: str, sampler: str) -> Node:
    """A part of two pictures, guided by a negative, from the second step on; noise is left."""
    return KSamplerAdvanced(
        model=bench.run(LoadFlux(model=model)).flux,
        noise_seed=6,
        steps=STEPS + 2,
        cfg=3.0,
        sampler_name=sampler,
        scheduler="beta",
        positive=conditioning(1),
        negative=conditioning(2),
        latent_image=pictures(2, is_masked=True),
        start_at_step=1,
        end_at_step=STEPS + 1,
        return_with_leftover_noise="enable",
    )


def differential(bench: NodeBench, model: str, sampler: str) -> Node:
    """Two pictures, the more of each the lower the level, with a guider."""
    flux = bench.run(LoadFlux(model=model)).flux
    flux = bench.run(DifferentialDiffusion(model=flux)).model
    guider = CFGGuider(model=flux, positive=conditioning(1), negative=conditioning(2), cfg=2.0)
    return SamplerCustomAdvanced(
        noise=bench.run(RandomNoise(noise_seed=7)).noise,
        guider=bench.run(guider).guider,
        sampler=bench.run(KSamplerSelect(sampler_name=sampler)).sampler,
        sigmas=bench.run(BasicScheduler(model=flux, steps=STEPS, denoise=0.7)).sigmas,
        latent_image=pictures(2, is_masked=True),
    )


def latents(outputs: Any) -> list[np.ndarray]:
    return [np.array(each.samples) for each in vars(outputs).values() if isinstance(each, Latent)]


@pytest.mark.parametrize("made", [plain, guided_under_a_mask, differential])
@pytest.mark.parametrize("sampler", TRIED)
def test_a_sampling_resumed_after_any_step_ends_with_the_same_bits(
    bench: NodeBench, small_model: str, sampler: str, made: Made
) -> None:
    node = made(bench, small_model, sampler)
    bench.events.clear()
    unbroken = latents(bench.run(node))
    steps, states = bench.steps, list(bench.states)
    assert steps[0][0] == 0
    assert steps[-1] == (steps[0][1], steps[0][1])
    assert states
    assert len(states) == len(steps) - 2  # neither before the first step nor after the last
    for state in states[:: -(-len(states) // 4)]:  # an adaptive sampler takes dozens of steps
        bench.events.clear()
        resumed = latents(bench.run(node, resume=state))
        assert all(np.array_equal(one, other) for one, other in zip(resumed, unbroken, strict=True))
        assert bench.steps == steps[-len(bench.steps) :]


@pytest.mark.parametrize("sampler", KINDS)
def test_a_sampling_stops_after_the_step_under_way(bench: NodeBench, small_model: str, sampler: str) -> None:
    node = plain(bench, small_model, sampler)
    bench.events.clear()
    bench.run(node)
    done = [step for step, _ in bench.steps]
    bench.events.clear()
    with pytest.raises(Cancelled):
        bench.run(node, cancel_at=next(filter(None, done)))
    taken = [step for step, _ in bench.steps]
    assert taken == done[: len(taken)]
    assert len(taken) == 1 + next(index for index, step in enumerate(done) if step)


def test_previews_are_what_the_steps_aim_at(bench: NodeBench, small_model: str) -> None:
    node = differential(bench, small_model, "heun")
    bench.events.clear()
    aimed_at = np.array(bench.run(node).denoised_output.samples)
    previews = [event.preview for event in bench.events if isinstance(event, NodeProgress)]
    assert [preview.shape for preview in previews] == [(2, 4, 5, 16)] * (STEPS + 1)
    np.testing.assert_array_equal(np.array(to_autoencoder_scale(previews[-1])), aimed_at)
    assert not np.array_equal(np.array(previews[-2]), np.array(previews[-1]))


# -- workflows, with a cache on the disk --------------------------------------------------------------


def workflow(model: str, sampler: str, steps: int) -> Workflow:
    """Two pictures, guided by a negative, each from a part of the levels, the second sampling by another."""
    text = {"class_type": "CLIPTextEncode"}
    shared = {
        "model": ["unet", 0],
        "noise_seed": 3,
        "steps": steps,
        "cfg": 2.5,
        "scheduler": "simple",
        "sampler_name": sampler,
        "positive": ["fox", 0],
        "negative": ["grey", 0],
    }
    return Workflow.from_json(
        {
            "unet": {"class_type": "UNETLoader", "inputs": {"unet_name": model, "weight_dtype": "default"}},
            "clip": {
                "class_type": "DualCLIPLoader",
                "inputs": {"clip_name1": model, "clip_name2": model, "type": "flux"},
            },
            "vae": {"class_type": "VAELoader", "inputs": {"vae_name": model}},
            "fox": {**text, "inputs": {"clip": ["clip", 0], "text": "a fox"}},
            "grey": {**text, "inputs": {"clip": ["clip", 0], "text": "grey"}},
            "empty": {
                "class_type": "EmptySD3LatentImage",
                "inputs": {"width": 32, "height": 48, "batch_size": 2},
            },
            "mask": {"class_type": "SolidMask", "inputs": {"value": 0.7, "width": 32, "height": 48}},
            "masked": {
                "class_type": "SetLatentNoiseMask",
                "inputs": {"samples": ["first", 0], "mask": ["mask", 0]},
            },
            "first": {
                "class_type": "KSamplerAdvanced",
                "inputs": {
                    **shared,
                    "latent_image": ["empty", 0],
                    "end_at_step": steps // 2,
                    "return_with_leftover_noise": "enable",
                },
            },
            "second": {
                "class_type": "KSamplerAdvanced",
                "inputs": {
                    **shared,
                    "latent_image": ["masked", 0],
                    "start_at_step": steps // 2,
                    "add_noise": "disable",
                },
            },
            "decode": {"class_type": "VAEDecode", "inputs": {"samples": ["second", 0], "vae": ["vae", 0]}},
            "save": {"class_type": "SaveImage", "inputs": {"images": ["decode", 0]}},
        }
    )


@pytest.mark.parametrize("sampler", ["dpmpp_2m_sde", "res_multistep_ancestral"])
def test_an_interrupted_workflow_resumes_from_the_cache(
    small_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    monkeypatch.setattr("run_graph.runtime.cache.snapshots._SHARE", 1e9)
    given = workflow(small_model, sampler, steps=6)
    environment = RunEnvironment([tmp_path], tmp_path / "out")
    store = ModelStore()

    def run(cache: Path, stop_at: int | None = None) -> tuple[np.ndarray, list[tuple[str, int]]]:
        """The latents, and where samplings resumed; stops at a step of the second sampling."""
        resumed: list[tuple[str, int]] = []
        token = CancelToken()

        def listen(event: Event) -> None:
            if isinstance(event, NodeResumed):
                resumed.append((event.node_id, event.value))
            elif isinstance(event, NodeProgress) and (event.node_id, event.value) == ("second", stop_at):
                token.cancel()

        session = Session(Registry(NODES), disk(cache)[0], Services(store))
        result = session.run(given, targets=["second"], environment=environment, on_event=listen, token=token)
        return np.array(result.outputs("second").latent.samples), resumed

    unbroken, _ = run(tmp_path / "one")
    for step in (1, 2):
        with pytest.raises(Cancelled):
            run(tmp_path / "other", stop_at=step)
    latents, resumed = run(tmp_path / "other")
    assert resumed == [("second", 2)]
    np.testing.assert_array_equal(latents, unbroken)


def test_a_killed_process_is_resumed_by_the_same_command(small_model: str, tmp_path: Path) -> None:
    """The picture is that of a run without a cache."""
    path = tmp_path / "graph.json"
    path.write_text(workflow(small_model, "dpmpp_2m_sde", steps=80).dumps(), encoding="utf-8")
    with started(tmp_path, "graph.json", "--json", "--output", "killed") as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event.get("node_id") == "second" and event.get("value", 0) >= 10:
                break
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not list((tmp_path / "killed").glob("*.png"))

    with started(tmp_path, "graph.json", "--json", "--output", "killed") as process:
        printed, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    [resumed] = [
        event for line in printed.splitlines() if (event := json.loads(line))["event"] == "node_resumed"
    ]
    assert resumed["node_id"] == "second"
    assert resumed["value"] > 0

    with started(tmp_path, "graph.json", "--no-cache", "--output", "whole") as process:
        assert process.wait(timeout=120) == 0
    pixels = [
        [np.asarray(Image.open(file)) for file in sorted((tmp_path / folder).glob("*.png"))]
        for folder in ("killed", "whole")
    ]
    assert len(pixels[0]) == 2
    np.testing.assert_array_equal(*pixels)
