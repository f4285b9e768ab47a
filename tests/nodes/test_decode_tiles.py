"""DecodeLatent in tiles."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from small import WORKFLOWS, shipped, with_each

from run_graph.graph.registry import installed_nodes
from run_graph.graph.validation import check
from run_graph.nodes import DecodeLatent, LoadFlux
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.errors import Cancelled
from run_graph.runtime.generation import Generation
from run_graph.runtime.values import Latent

GENERATION = Generation(
    prompt="a fox",
    references=(),
    parameters={"seed": 1, "steps": 2, "guidance": 3.5, "width": 128, "height": 256},
    model="small",
    quantize=None,
)


@pytest.fixture
def latent() -> Latent:
    return Latent(mx.random.normal((1, 32, 16, 16), key=mx.random.key(0)), GENERATION)


def decoding(bench: Any, model: str, latent: Latent, tile_size: int) -> Any:
    vae = bench.run(LoadFlux(model=model)).vae
    return bench.run(DecodeLatent(vae=vae, latent=latent, tile_size=tile_size)).image


def test_tiles_give_nearly_the_same_picture_and_keep_how_it_was_made(
    bench: Any, small_model: str, latent: Latent
) -> None:
    whole = decoding(bench, small_model, latent, 0)
    tiled = decoding(bench, small_model, latent, 128)
    assert tiled.pixels.shape == whole.pixels.shape == (1, 256, 128, 3)
    assert 0 < np.mean((tiled.pixels - whole.pixels) ** 2) < 10**-2.5, "25 decibels"
    assert tiled.generation == GENERATION.with_parameters({"tile_size": 128})


def test_each_tile_is_a_step_at_which_the_run_can_be_stopped(
    bench: Any, small_model: str, latent: Latent
) -> None:
    decoding(bench, small_model, latent, 128)
    assert bench.steps == [(1, 3), (2, 3), (3, 3)]
    bench.token.cancel()
    with pytest.raises(Cancelled):
        decoding(bench, small_model, latent, 128)


@pytest.mark.parametrize(("tile_size", "faults"), [(0, 0), (128, 0), (512, 0), (112, 1), (16, 1)])
def test_a_tile_that_is_all_overlap_is_a_fault(tile_size: int, faults: int) -> None:
    workflow = with_each(shipped("redux"), "DecodeLatent", tile_size=tile_size)
    found = check(workflow, installed_nodes(), ["image"], RunEnvironment([WORKFLOWS], WORKFLOWS)).faults
    assert [fault.input for fault in found] == ["tile_size"] * faults
