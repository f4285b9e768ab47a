"""SaveLatent and LoadLatent."""

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from safetensors import safe_open

from run_graph.graph.effects import Effect
from run_graph.nodes import LoadLatent, SaveLatent
from run_graph.runtime.testing import NodeBench
from run_graph.runtime.values import Latent

SAMPLES = mx.array(np.random.default_rng(0).standard_normal((2, 3, 5, 16), np.float32))


def test_what_was_saved_is_loaded_and_files_are_numbered(bench: NodeBench) -> None:
    saved = [bench.run(SaveLatent(samples=Latent(SAMPLES))) for _ in range(2)]
    names = [Path(each.path).relative_to(bench.folder / "out").as_posix() for each in saved]
    assert names == ["latents/ComfyUI_00001_.latent", "latents/ComfyUI_00002_.latent"]
    loaded = bench.run(LoadLatent(latent=saved[0].path)).latent
    np.testing.assert_array_equal(np.array(loaded.samples), np.array(SAMPLES))
    assert bench.warnings == []


def test_the_graph_is_in_the_file(bench: NodeBench) -> None:
    path = bench.run(SaveLatent(samples=Latent(SAMPLES), filename_prefix="%width%x%height%")).path
    assert Path(path).name.startswith("40x24_")
    with safe_open(path, "numpy") as file:
        assert json.loads(file.metadata()["prompt"])["made"]["class_type"] == "MadeElsewhere"


def test_what_the_file_has_no_place_for_is_told(bench: NodeBench) -> None:
    bench.run(SaveLatent(samples=Latent(SAMPLES, batch_index=(0, 1))))
    [warning] = bench.warnings
    assert "no place for" in warning


def test_a_file_that_cannot_be_read_is_found_before_the_run(bench: NodeBench) -> None:
    path = Path(bench.run(SaveLatent(samples=Latent(SAMPLES))).path)
    assert bench.problems(LoadLatent(latent=str(path))) == []
    path.write_bytes(path.read_bytes()[:-9])
    [cut] = bench.problems(LoadLatent(latent=str(path)))
    assert "is cut short" in cut.message
    [absent] = bench.problems(LoadLatent(latent="absent.latent"))
    assert "no file 'absent.latent'" in absent.message


def test_the_result_follows_the_files_content(bench: NodeBench) -> None:
    path = Path(bench.run(SaveLatent(samples=Latent(SAMPLES))).path)
    node = LoadLatent(latent=str(path))
    before = node.fingerprint(bench.environment)
    assert list(node.effects(bench.environment)) == [Effect("read", str(path), "latent")]
    path.write_bytes(path.read_bytes() + b"\0")
    assert node.fingerprint(bench.environment) != before


def test_places_outside_the_output_folder_are_refused(bench: NodeBench) -> None:
    node = SaveLatent(samples=Latent(SAMPLES), filename_prefix="../elsewhere/x")
    assert bench.problems(node)
    with pytest.raises(Exception, match="output folder"):
        bench.run(node)
