"""A LoRA that does not fit is refused before anything is computed, and the message names the keys."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lora_samples import FORMATS, JOINT, Sample, Sizes, diffusers, kohya, lokr
from safetensors.numpy import save_file

from run_graph.runtime.errors import LoraError
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.lora_files import Lora, lora_digest
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
        f"lora_te1_text_model_encoder_layers_{n}_mlp_fc9.alpha": np.array(1.0, np.float32) for n in range(5)
    }
    message = refusal(checkpoint, saved(Sample(tensors, {})))
    assert f"5 of its {len(tensors)} tensors" in message
    assert "lora_te1_text_model_encoder_layers_0_mlp_fc9.alpha" in message
    assert "and 2 more" in message
    assert 'Use another file, or set unmatched to "skip"' in message


def test_each_key_that_is_left_out_has_its_reason(saved: Callable[..., Lora], sizes: Sizes) -> None:
    reasons = {
        "lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha": "for CLIP, which it is not applied to here",
        "lora_te2_encoder_block_0_layer_0_SelfAttention_q.alpha": "for T5, which it is not applied to here",
        "lora_te1_text_projection.lora_up.weight": "for CLIP's text projection, which FLUX.1 does not use",
        "lora_te1_text_model_pooler.lora_up.weight": "for no layer of CLIP",
        "bundle_emb.fox.t5_out": "a textual-inversion embedding, which FLUX.1's prompts cannot name",
        "transformer.pos_embed.lora_A.weight": "for no layer of FLUX.1",
    }
    path = saved(with_tensors(diffusers(sizes), *reasons)).path
    found = examine(path, skip_unmatched=True)
    assert found.unmatched == reasons
    assert "bundle_emb.fox.t5_out (a textual-inversion embedding" in found.left_out
    with pytest.raises(
        LoraError, match=r"2 of its \d+ tensors match no layer of FLUX\.1: lora_te1_text_model_p"
    ):
        examine(path)


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
    "OFT": (kohya, "lora_unet_double_blocks_0_img_mlp_2.oft_blocks", "is an OFT"),
    "GLoRA": (kohya, "lora_unet_double_blocks_0_img_mlp_2.a1.weight", "is a GLoRA"),
    "bias of the first matrix": (diffusers, f"transformer.{JOINT}.attn.to_q.lora_A.bias", "replaces biases"),
    "whole weight": (diffusers, f"transformer.{JOINT}.attn.to_q.weight", "holds whole weights"),
    "wider layer": (kohya, "diffusion_model.img_in.reshape_weight", "widens layers"),
    "convolution": (kohya, "lora_unet_double_blocks_0_img_mlp_2.lora_mid.weight", "is made for convolutions"),
    "norm": (kohya, "lora_unet_double_blocks_0_img_attn_norm_key_norm.lora_up.weight", "has other tensors"),
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


OTHER_MODELS = [
    ("Stable Diffusion 1, 2 or XL", "lora_unet_input_blocks_4_1_proj_in.lora_up.weight", (4, 4)),
    ("Stable Diffusion 1, 2 or XL", "unet.up_blocks.0.attentions.0.proj_in.lora_A.weight", (4, 4)),
    (
        "Stable Diffusion 1",
        "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight",
        (4, 768),
    ),
    (
        "Stable Diffusion 2",
        "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight",
        (4, 1024),
    ),
    (
        "Stable Diffusion XL",
        "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_v.lora_A.weight",
        (4, 2048),
    ),
    ("Stable Cascade", "lora_prior_unet_down_blocks_0_1_attention_attn_to_q.lora_down.weight", (4, 4)),
    ("Stable Diffusion 3", "diffusion_model.joint_blocks.0.x_block.attn.qkv.lora_A.weight", (4, 4)),
    ("AuraFlow", "transformer.joint_transformer_blocks.0.attn.to_q.lora_A.weight", (4, 4)),
    ("FLUX.2", "diffusion_model.double_stream_modulation_img.lin.lora_A.weight", (4, 4)),
    ("FLUX.2", "transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj.lora_A.weight", (4, 4)),
    ("Chroma", "diffusion_model.distilled_guidance_layer.in_proj.lora_A.weight", (4, 4)),
    ("Qwen-Image", "transformer_blocks.3.img_mlp.net.0.proj.lora_A.weight", (4, 4)),
    ("Qwen-Image", "transformer.transformer_blocks.3.txt_mod.1.lora_A.weight", (4, 4)),
    ("HunyuanVideo", "transformer.double_blocks.0.img_attn_qkv.lora_A.weight", (4, 4)),
    ("HunyuanVideo", "lora_unet_double_blocks_0_img_mlp_fc1.lora_down.weight", (4, 4)),
    ("HiDream", "diffusion_model.double_stream_blocks.0.block.attn1.to_q.lora_A.weight", (4, 4)),
    ("Wan", "diffusion_model.blocks.0.self_attn.q.lora_A.weight", (4, 4)),
    ("Wan", "lora_unet_blocks_0_cross_attn_k.lora_down.weight", (4, 4)),
    ("Cosmos or Anima", "diffusion_model.blocks.0.self_attn.q_proj.lora_A.weight", (4, 4)),
    ("Z-Image", "diffusion_model.layers.0.attention.to_q.lora_A.weight", (4, 3840)),
    ("Lumina Image 2", "diffusion_model.layers.0.attention.qkv.lora_A.weight", (4, 2304)),
    ("LTX-Video", "diffusion_model.transformer_blocks.0.attn1.to_q.lora_A.weight", (4, 2048)),
]


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(("family", "key", "shape"), OTHER_MODELS)
def test_a_lora_for_another_model_says_for_which(
    saved: Callable[..., Lora], sizes: Sizes, family: str, key: str, shape: tuple[int, int], skip: bool
) -> None:
    """Also if some of its layers have the names of FLUX's."""
    for sample in (Sample({}, {}), diffusers(sizes)):
        lora = saved(Sample(sample.tensors | {key: np.ones(shape, np.float32)}, {}), skip=skip)
        with pytest.raises(LoraError, match=re.escape(f"not a LoRA for FLUX.1 but for {family}")) as caught:
            examine(lora.path, lora.skip_unmatched)
        assert key in str(caught.value)


# Layers that FLUX.1 has too, but in other sizes or numbers: module, outputs, inputs.
OTHER_SIZES = [
    ("Stable Diffusion 3,", "transformer.transformer_blocks.0.attn.to_q", 1536, 1536),
    ("Stable Diffusion 3.5 Large", "transformer.transformer_blocks.0.attn.add_q_proj", 2432, 2432),
    ("FLUX.2 klein 9B", "diffusion_model.double_blocks.0.img_attn.qkv", 3 * 4096, 4096),
    ("FLUX.2", "diffusion_model.double_blocks.0.img_attn.qkv", 3 * 6144, 6144),
    ("FLUX.2", "diffusion_model.single_blocks.0.linear1", 9 * 3072, 3072),
    ("FLUX.2", "diffusion_model.double_blocks.0.img_mlp.0", 6 * 3072, 3072),
    ("Qwen-Image", "transformer.transformer_blocks.59.attn.to_q", 3072, 3072),
    ("HunyuanVideo", "diffusion_model.single_blocks.39.linear1", 7 * 3072, 3072),
    ("FLUX.1 Depth or Canny", "transformer.x_embedder", 3072, 128),
    ("FLUX.1 Fill", "img_in", 3072, 384),
]


@pytest.mark.parametrize(("family", "module", "outputs", "inputs"), OTHER_SIZES)
def test_a_lora_for_another_model_is_known_by_its_sizes(
    saved: Callable[..., Lora], family: str, module: str, outputs: int, inputs: int
) -> None:
    matrices = {"lora_B": (outputs, 1), "lora_A": (1, inputs)}
    tensors = {f"{module}.{name}.weight": np.ones(shape, np.float16) for name, shape in matrices.items()}
    with pytest.raises(LoraError, match=re.escape(f"but for {family}")) as caught:
        examine(saved(Sample(tensors, {})).path)
    assert module in str(caught.value)


@pytest.mark.parametrize(
    ("module", "outputs", "inputs"),
    [
        ("transformer.transformer_blocks.18.attn.to_q", 3072, 3072),
        ("diffusion_model.single_blocks.37.linear1", 7 * 3072, 3072),
        ("diffusion_model.double_blocks.0.img_mlp.0", 4 * 3072, 3072),
        ("img_in", 3072, 64),
    ],
)
def test_flux_1_s_own_sizes_are_of_no_other_model(
    checkpoint: Checkpoint, saved: Callable[..., Lora], module: str, outputs: int, inputs: int
) -> None:
    shapes = {"lora_B": (outputs, 1), "lora_A": (1, inputs)}
    lora = saved(
        Sample({f"{module}.{name}.weight": np.ones(shape, np.float16) for name, shape in shapes.items()}, {})
    )
    assert examine(lora.path).unmatched == {}
    assert module in refusal(checkpoint, lora), "but of another size than this model"


def test_a_lora_for_flux_1_s_own_width_says_so(checkpoint: Checkpoint, saved: Callable[..., Lora]) -> None:
    shapes = {"lora_B": (3072, 1), "lora_A": (1, 3072)}
    tensors = {
        f"transformer.{JOINT}.attn.to_q.{name}.weight": np.ones(shape, np.float16)
        for name, shape in shapes.items()
    }
    message = refusal(checkpoint, saved(Sample(tensors, {})))
    assert "The LoRA is for FLUX.1 dev or schnell, which are 3072 wide" in message


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32])
def test_matrices_in_another_program_s_format_are_refused(
    saved: Callable[..., Lora], sizes: Sizes, dtype: type
) -> None:
    lora = saved(changed(diffusers(sizes), UP, lambda matrix: matrix.astype(dtype)))
    with pytest.raises(LoraError, match="does not read") as caught:
        examine(lora.path)
    assert UP in str(caught.value)


TO_Q = f"transformer.{JOINT}.attn.to_q"


@pytest.mark.parametrize(
    ("drop", "added", "expected"),
    [
        ("hada_w2_b", {}, "has no counterpart: no hada_w2_b"),
        ("lokr_w2", {}, "lacks a factor: no lokr_w2"),
        ("", {f"{TO_Q}.hada_w1_a": (4, 4)}, "are a LoRA and a LoHa for one layer"),
        ("", {f"{TO_Q}.diff": (128, 128)}, "are a LoRA and a difference for one layer"),
        ("", {f"transformer.{JOINT}.attn.to_k.lora_magnitude_vector": (128,)}, "has no counterpart"),
        ("", {f"{TO_Q}.lokr_t2": (4, 4, 1, 1)}, "is for a convolution, but"),
        ("", {f"{TO_Q}.dora_scale": (64, 1)}, "needs 128 magnitudes"),
        ("", {f"{TO_Q}.lora_B.bias": (64,)}, "needs 128 rows"),
        ("", {f"{TO_Q}.diff_b": (4, 4)}, "needs 1 dimensions"),
        ("", {f"transformer.{JOINT}.attn.norm_q.diff": (32,)}, "needs 64 rows"),
        ("", {f"transformer.{JOINT}.attn.norm_q.b_norm": (64,)}, "has no offset"),
    ],
)
def test_a_damaged_file_is_named(
    checkpoint: Checkpoint,
    sizes: Sizes,
    saved: Callable[..., Lora],
    drop: str,
    added: dict[str, tuple[int, ...]],
    expected: str,
) -> None:
    make = {"hada_w2_b": FORMATS["LoHa"], "lokr_w2": lokr}.get(drop, diffusers)
    tensors = {key: each for key, each in make(sizes).tensors.items() if not drop or not key.endswith(drop)}
    tensors |= {key: np.ones(shape, np.float32) for key, shape in added.items()}
    message = refusal(checkpoint, saved(Sample(tensors, {})))
    assert expected in message
    assert all(key in message for key in added)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
@pytest.mark.parametrize("key", [DOWN, TO_Q + ".alpha", TO_Q + ".dora_scale"])
def test_numbers_that_are_none_are_named(
    checkpoint: Checkpoint, sizes: Sizes, saved: Callable[..., Lora], key: str, odd: float
) -> None:
    array = np.array(
        diffusers(sizes).tensors.get(key, np.ones((128, 1) if "dora" in key else ())), np.float32
    )
    array.flat[-1] = odd
    message = refusal(checkpoint, saved(Sample({**diffusers(sizes).tensors, key: array}, {})))
    assert f"{key} has NaN or infinity instead of numbers" in message


def test_peft_s_lokr_with_an_alpha_that_counts_is_refused(
    checkpoint: Checkpoint, sizes: Sizes, tmp_path: Path
) -> None:
    path = lokr(sizes).save(tmp_path / "adapter_model.safetensors")
    lora = Lora(lora_digest(path), 1.0, False, path.name, path)
    config = tmp_path / "adapter_config.json"
    config.write_text(json.dumps({"peft_type": "LOKR", "alpha": 8, "r": 4}))
    assert "versions of PEFT read that differently" in refusal(checkpoint, lora)
    config.write_text(json.dumps({"peft_type": "LOKR", "alpha": 4, "r": 4}))
    ModelStore().get(checkpoint, "transformer", loras=(lora,))


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
