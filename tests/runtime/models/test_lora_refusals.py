"""A LoRA that does not fit is refused before anything is computed, and the message names the keys."""

import re
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


def with_tensors(sample: Sample, *added: str, drop: str = "") -> Sample:
    tensors = {key: array for key, array in sample.tensors.items() if not drop or drop not in key}
    return Sample(tensors | {key: np.ones((4, 4), np.float32) for key in added}, {})


UNSUPPORTED = {
    "kohya DoRA": (kohya, "lora_unet_double_blocks_0_img_attn_qkv.dora_scale", "is a DoRA"),
    "diffusers DoRA": (diffusers, f"transformer.{JOINT}.attn.to_q.lora_magnitude_vector", "is a DoRA"),
    "PEFT DoRA": (
        diffusers,
        f"base_model.model.{JOINT}.attn.to_q.lora_magnitude_vector.default.weight",
        "is a DoRA",
    ),
    "LoHa": (kohya, "lora_unet_double_blocks_0_img_mlp_2.hada_w1_a", "is a LoHa"),
    "OFT": (kohya, "lora_unet_double_blocks_0_img_mlp_2.oft_blocks", "is an OFT"),
    "GLoRA": (kohya, "lora_unet_double_blocks_0_img_mlp_2.a1.weight", "is a GLoRA"),
    "bias": (diffusers, f"transformer.{JOINT}.attn.to_q.lora_B.bias", "changes biases"),
    "bias difference": (kohya, "diffusion_model.double_blocks.0.img_mlp.2.diff_b", "changes biases"),
    "difference": (kohya, "diffusion_model.double_blocks.0.img_mlp.2.diff", "changes whole weights"),
    "replaced weight": (diffusers, f"{JOINT}.norm1.linear.set_weight", "changes whole weights"),
    "norm": (kohya, "double_blocks.0.img_attn.norm.key_norm.scale", "changes normalisations"),
    "diffusers norm": (diffusers, f"transformer.{JOINT}.attn.norm_q.weight", "changes normalisations"),
}


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_is_for_flux_but_cannot_be_applied_is_never_left_out(
    saved: Callable[..., Lora], sizes: Sizes, case: str, skip: bool
) -> None:
    """Leaving it out would give another picture, so no advice leads there."""
    make, key, form = UNSUPPORTED[case]
    lora = saved(with_tensors(make(sizes), key), skip=skip)
    with pytest.raises(LoraError) as caught:
        examine(lora.path, lora.skip_unmatched)
    message = str(caught.value)
    assert f"is for FLUX.1, but it {form}" in message
    assert key in message
    assert "unmatched" not in message
    assert "not a LoRA for FLUX" not in message


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(
    ("family", "key"),
    [
        ("Stable Diffusion 1, 2 or XL", "lora_unet_input_blocks_4_1_proj_in.lora_up.weight"),
        ("Stable Diffusion 1, 2 or XL", "unet.up_blocks.0.attentions.0.proj_in.lora_A.weight"),
        ("Stable Diffusion 3", "diffusion_model.joint_blocks.0.x_block.attn.qkv.lora_A.weight"),
        ("FLUX.2", "diffusion_model.double_stream_modulation_img.lin.lora_A.weight"),
        ("Chroma", "diffusion_model.distilled_guidance_layer.in_proj.lora_A.weight"),
        ("Qwen-Image", "transformer_blocks.3.img_mlp.net.0.proj.lora_A.weight"),
        ("Qwen-Image", "transformer.transformer_blocks.3.txt_mod.1.lora_A.weight"),
        ("Wan", "diffusion_model.blocks.0.self_attn.q.lora_A.weight"),
    ],
)
def test_a_lora_for_another_model_says_for_which(
    saved: Callable[..., Lora], sizes: Sizes, family: str, key: str, skip: bool
) -> None:
    """Also if some of its layers have the names of FLUX's."""
    for sample in (Sample({}, {}), diffusers(sizes)):
        lora = saved(with_tensors(sample, key), skip=skip)
        with pytest.raises(LoraError, match=re.escape(f"not a LoRA for FLUX.1 but for {family}")) as caught:
            examine(lora.path, lora.skip_unmatched)
        assert key in str(caught.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32])
def test_matrices_in_another_program_s_format_are_refused(
    saved: Callable[..., Lora], sizes: Sizes, dtype: type
) -> None:
    lora = saved(changed(diffusers(sizes), UP, lambda matrix: matrix.astype(dtype)))
    with pytest.raises(LoraError, match="does not read") as caught:
        examine(lora.path)
    assert UP in str(caught.value)


def test_a_kronecker_product_that_cannot_be_taken_apart_is_refused(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora]
) -> None:
    outputs, inputs = sizes[f"{JOINT}.attn.to_q"]
    name = "diffusion_model.double_blocks.0.img_attn.qkv"
    factors = {"lokr_w1": (4, 4), "lokr_w2": (3 * outputs // 4, inputs // 4)}
    tensors = {f"{name}.{key}": np.ones(shape, np.float32) for key, shape in factors.items()}
    message = refusal(checkpoint, saved(Sample(tensors, {})))
    assert "which cannot be taken apart" in message
    assert name in message


@pytest.mark.parametrize("layer", ["attn.to_q", "attn.to_k"])
def test_two_spellings_of_one_layer_in_a_file_are_named(
    sizes: Sizes, saved: Callable[..., Lora], layer: str
) -> None:
    one, other = (
        {f"{prefix}{JOINT}.{layer}.lora_{end}.weight": np.ones((4, 4), np.float32) for end in "AB"}
        for prefix in ("transformer.", "diffusion_model.")
    )
    with pytest.raises(LoraError, match="are both for") as caught:
        examine(saved(Sample(one | other, {})).path)
    assert all(prefix in str(caught.value) for prefix in ("transformer.t", "diffusion_model.t"))
