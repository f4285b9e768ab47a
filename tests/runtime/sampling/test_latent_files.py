"""ComfyUI's files of latent pictures."""

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from run_graph.runtime.sampling.latent_files import read, to_bytes

SAMPLES = np.random.default_rng(0).standard_normal((2, 3, 5, 16), np.float32)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.latent"
    path.write_bytes(to_bytes(mx.array(SAMPLES), {"prompt": {"1": "ä"}}))
    np.testing.assert_array_equal(np.array(read(path)), SAMPLES)
    with safe_open(path, "numpy") as file:
        assert json.loads(file.metadata()["prompt"]) == {"1": "ä"}
        assert file.get_tensor("latent_tensor").shape == (2, 16, 3, 5)
        assert set(file.keys()) == {"latent_tensor", "latent_format_version_0"}


def test_bfloat16_is_written_as_float32(tmp_path: Path) -> None:
    path = tmp_path / "a.latent"
    path.write_bytes(to_bytes(mx.array(SAMPLES).astype(mx.bfloat16), {}))
    np.testing.assert_allclose(np.array(read(path)), SAMPLES, rtol=1e-2)


def test_values_of_older_files_are_brought_to_todays_scale(tmp_path: Path) -> None:
    path = tmp_path / "old.latent"
    save_file({"latent_tensor": np.full((1, 4, 2, 2), 0.18215, np.float16)}, path)
    found = read(path)
    assert (found.shape, found.dtype) == ((1, 2, 2, 4), mx.float32)
    np.testing.assert_allclose(np.array(found), 1, rtol=1e-3)


@pytest.mark.parametrize("tensors", [{"weight": np.zeros((1, 4, 2, 2))}, {"latent_tensor": np.zeros((4, 2))}])
def test_another_file_is_refused(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    path = tmp_path / "other.latent"
    save_file({name: array.astype(np.float32) for name, array in tensors.items()}, path)
    with pytest.raises(ValueError, match=r"other\.latent has no latent pictures"):
        read(path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "damaged.latent"
    path.write_bytes(to_bytes(mx.array(SAMPLES), {})[:-9])
    with pytest.raises(ValueError, match=r"damaged\.latent cannot be read"):
        np.array(read(path))
