"""A LoRA that does not fit is refused before anything is computed, and the message names the keys."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lora_samples import JOINT, Sample, Sizes, diffusers, kohya, lokr
from safetensors.numpy import save_file

from run_graph.runtime.errors import LoraError
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.lora_files import Lora
from run_graph.runtime.models.lora_matching import examine
from run_graph.runtime.models.store import ModelStore


@pytest.fixture
def checkpoint(small_folder: Path) -> Checkpoint:
    return Checkpoint("small", folder=small_folder)


def refusal(checkpoint: Checkpoint, lora: Lora) -> str:
    with pytest.raises(LoraError) as caught:
        ModelStore().get(checkpoint, "transformer", loras=(lora,))
    assert str(lora.path) in str(caught.value)
    return str(caught.value)


def test_a_lora_for_another_model_is_refused(checkpoint: Checkpoint, saved: Callable[..., Lora]) -> None:
    key = "lora_unet_down_blocks_1_attentions_0_proj_in.lora_up.weight"  # Stable Diffusion XL's
    message = refusal(checkpoint, saved(Sample({key: np.zeros((4, 4), np.float32)}, {})))
    assert "is not a LoRA for FLUX.1" in message
    assert key in message


def test_keys_that_match_no_layer_are_named(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    tensors = diffusers(sizes).tensors | {
        f"lora_te1_text_model_encoder_layers_{n}_mlp_fc1.alpha": np.array(1.0, np.float32) for n in range(5)
    }
    message = refusal(checkpoint, saved(Sample(tensors, {})))
    assert f"5 of its {len(tensors)} tensors" in message
    assert "lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha" in message
    assert "and 2 more" in message
    assert 'set unmatched to "skip"' in message


def changed(sample: Sample, key: str, change: Callable[[np.ndarray], np.ndarray]) -> Sample:
    return Sample({**sample.tensors, key: np.ascontiguousarray(change(sample.tensors[key]))}, {})


DOWN, UP = (f"transformer.{JOINT}.attn.to_q.lora_{end}.weight" for end in "AB")
FUSED_UP = "lora_unet_single_blocks_1_linear1.lora_up.weight"


def test_matrices_of_different_rank_are_named(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    message = refusal(checkpoint, saved(changed(diffusers(sizes), DOWN, lambda matrix: matrix[:3])))
    assert f"{DOWN} (3, 128) and {UP} (128, 4) differ in rank" in message


def test_a_matrix_without_its_counterpart_is_named(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    tensors = dict(diffusers(sizes).tensors)
    del tensors[UP]
    assert f"{DOWN} has no counterpart" in refusal(checkpoint, saved(Sample(tensors, {})))


@pytest.mark.parametrize(
    ("sample", "key", "change", "expected"),
    [
        (
            diffusers,
            DOWN,
            lambda matrix: matrix[:, :64],
            "has shape (4, 64), but this model's layer needs 128 columns",
        ),
        (
            diffusers,
            UP,
            lambda matrix: matrix[:64],
            "has shape (64, 4), but this model's layer needs 128 rows",
        ),
        (kohya, FUSED_UP, lambda matrix: matrix[:-1], "this model's layer needs 896 rows"),
        (
            kohya,
            FUSED_UP,
            lambda matrix: np.concatenate([matrix, matrix]),
            "this model's layer needs 896 rows",
        ),
    ],
)
def test_a_matrix_of_the_wrong_size_is_named(
    checkpoint: Checkpoint,
    sizes: Sizes,
    saved: Callable[..., Lora],
    sample: Callable[[Sizes], Sample],
    key: str,
    change: Callable[[np.ndarray], np.ndarray],
    expected: str,
) -> None:
    message = refusal(checkpoint, saved(changed(sample(sizes), key, change)))
    assert key in message
    assert expected in message


def test_a_kronecker_product_of_the_wrong_size_is_named(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    key = "lycoris__x_embedder.lokr_w2"
    message = refusal(checkpoint, saved(changed(lokr(sizes), key, lambda factor: factor[:-1])))
    assert key in message
    assert "multiply to 124 x 64, but this model's layer is 128 x 64" in message


def test_a_lora_for_more_blocks_is_refused(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    tensors = {
        name.replace("blocks.1.", "blocks.37."): array for name, array in diffusers(sizes).tensors.items()
    }
    message = refusal(checkpoint, saved(Sample(tensors, {})))
    assert "this one has no layers for transformer.single_transformer_blocks.37" in message


def test_two_keys_for_one_matrix_are_named(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    separate = {key: array for key, array in diffusers(sizes).tensors.items() if "to_q" in key}
    fused = {key: array for key, array in kohya(sizes).tensors.items() if "img_attn_qkv" in key}
    message = refusal(checkpoint, saved(Sample(separate | fused, {})))
    assert all(word in message for word in (JOINT, "attn.to_q.lora_", "img_attn_qkv.lora_", "are both for"))


@pytest.mark.parametrize("content", [b"", b"not a safetensors file", b"\xff" * 100])
def test_a_file_that_is_not_a_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(LoraError, match=r"bad\.safetensors"):
        examine(path)


def test_a_safetensors_file_without_tensors_is_refused(tmp_path: Path) -> None:
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(LoraError, match="it has none"):
        examine(tmp_path / "empty.safetensors")
