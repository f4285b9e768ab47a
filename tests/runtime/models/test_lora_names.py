"""Keys of LoRA files: every spelling that mflux knows means the same here, and many more are known."""

from collections.abc import Iterator

import pytest
from mflux.models.common.lora.mapping.lora_loader import LoRALoader
from mflux.models.flux.weights.flux_lora_mapping import FluxLoRAMapping

from run_graph.runtime.models.inspection import Tensor
from run_graph.runtime.models.lora_families import by_keys
from run_graph.runtime.models.lora_layer_names import Layers, find_layers
from run_graph.runtime.models.lora_names import parse_key

TO_Q = "transformer_blocks.3.attn.to_q"
QKV = tuple(f"transformer_blocks.3.attn.to_{part}" for part in "qkv")


def mflux_entries() -> Iterator[tuple[str, str, str]]:
    """Each of mflux's patterns with the layer and the matrix that it means there, for block 3."""
    for entry in LoRALoader._build_pattern_mappings(FluxLoRAMapping.get_mapping()):
        key, layer = (text.replace("{block}", "3") for text in (entry.source_pattern, entry.target_path))
        yield key, layer, entry.matrix_name


def test_every_key_that_mflux_maps_means_the_same_here() -> None:
    entries = list(mflux_entries())
    assert len(entries) > 500
    for key, layer, matrix in entries:
        for spelling in {key, key.removesuffix(".weight")}:
            parsed = parse_key(spelling)
            assert parsed.layers is not None, spelling
            assert layer in parsed.layers.names, spelling
            assert parsed.matrix == matrix, spelling


@pytest.mark.parametrize(
    ("module", "layers"),
    [
        ("transformer.transformer_blocks.3.attn.to_q", (TO_Q,)),
        ("base_model.model.transformer.transformer_blocks.3.attn.to_q", (TO_Q,)),
        ("lora_transformer_transformer_blocks_3_attn_to_q", (TO_Q,)),
        ("lora_transformer_single_transformer_blocks_3_proj_mlp", ("single_transformer_blocks.3.proj_mlp",)),
        ("diffusion_model.double_blocks.3.img_attn.qkv", QKV),
        ("double_blocks.3.processor.qkv_lora1", QKV),
        ("transformer.double_blocks.3.img_attn.qkv.2", (QKV[2],)),
        ("lora_unet_single_blocks_37_linear2", ("single_transformer_blocks.37.proj_out",)),
        ("lora_unet_final_layer_linear", ("proj_out",)),
        ("transformer.img_in.proj", ("x_embedder",)),
        ("single_blocks.3.linear1_qkv", tuple(f"single_{layer}" for layer in QKV)),
        ("transformer_blocks.3.ff.net.0.proj", ("transformer_blocks.3.ff.linear1",)),
    ],
)
def test_a_module_means_its_layers(module: str, layers: tuple[str, ...]) -> None:
    assert find_layers(module) == Layers(layers)


@pytest.mark.parametrize("prefix", ["lora_te1_", "lora_te_"])
@pytest.mark.parametrize("layer", ["self_attn.q_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"])
def test_kohyas_first_text_encoder_is_clip(prefix: str, layer: str) -> None:
    path = f"text_model.encoder.layers.11.{layer}"
    assert find_layers(prefix + path.replace(".", "_")) == Layers((path,), component="text_encoder")


@pytest.mark.parametrize(
    ("published", "layer"),
    [
        ("layer.0.SelfAttention.q", "attention.SelfAttention.q"),
        ("layer.0.SelfAttention.o", "attention.SelfAttention.o"),
        ("layer.1.DenseReluDense.wi_0", "ff.DenseReluDense.wi_0"),
        ("layer.1.DenseReluDense.wo", "ff.DenseReluDense.wo"),
    ],
)
def test_t5_has_several_numbers(published: str, layer: str) -> None:
    expected = Layers((f"t5_blocks.23.{layer}",), component="text_encoder_2")
    path = f"encoder.block.23.{published}"
    for name in (
        "lora_te2_" + path.replace(".", "_"),
        "lora_te3_" + path.replace(".", "_"),
        f"text_encoder_2.{path}",
        f"text_encoders.t5xxl.transformer.{path}",
        f"text_encoders.transformer.{path}",
        f"t5.{path}",
    ):
        assert find_layers(name) == expected, name


def test_programs_write_clips_own_names() -> None:
    path = "text_model.encoder.layers.0.self_attn.k_proj"
    for name in (f"text_encoder.{path}", f"text_encoders.clip_l.transformer.{path}", f"clip_l.{path}"):
        parsed = parse_key(f"{name}.lora_A.weight")
        assert (parsed.kind, parsed.matrix, parsed.component) == ("matrix", "lora_A", "text_encoder")
        assert parsed.layers == Layers((path,), component="text_encoder")


@pytest.mark.parametrize(
    "module",
    [
        "lora_te1_text_model_encoder_layers_0_mlp_fc3",
        "lora_te2_text_model_encoder_layers_0_mlp_fc1",  # the second CLIP of Stable Diffusion XL
        "lora_te1_encoder_block_0_layer_0_SelfAttention_q",
        "text_encoder.text_model.encoder.layers.0.self_attn",
        "double_blocks.x.img_attn.qkv",
        "double_blocks.3",
        "double_blocks.3.img_attn",
        "transformer_blocks.3.attn",
        "",
        "transformer.",
        "lora_unet_",
    ],
)
def test_what_is_no_layer_means_none(module: str) -> None:
    assert find_layers(module) is None


@pytest.mark.parametrize(
    ("ending", "matrix"),
    [
        ("lora_A.weight", "lora_A"),
        ("lora_A", "lora_A"),
        ("lora_A.default.weight", "lora_A"),
        ("lora_A.default_0.weight", "lora_A"),
        ("lora_down.weight", "lora_A"),
        ("lora.down.weight", "lora_A"),
        ("lora_linear_layer.down.weight", "lora_A"),
        ("lora_B.weight", "lora_B"),
        ("lora_up.weight", "lora_B"),
        ("lora.up.weight", "lora_B"),
        ("alpha", "alpha"),
        ("dora_scale", "dora_scale"),
        ("lora_magnitude_vector", "dora_scale"),
        ("lora_magnitude_vector.default.weight", "dora_scale"),
        *((name, name) for name in ("lokr_w1", "lokr_w2", "lokr_w1_a", "lokr_w2_b", "lokr_t2")),
        *((name, name) for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1")),
        ("lora_B.bias", "lora_B.bias"),
        ("lora_B.default.bias", "lora_B.bias"),
        ("diff", "diff"),
        ("w_norm", "diff"),
        ("diff_b", "diff_b"),
        ("b_norm", "diff_b"),
        ("set_weight", "set_weight"),
    ],
)
def test_an_ending_means_a_matrix(ending: str, matrix: str) -> None:
    parsed = parse_key(f"transformer.{TO_Q}.{ending}")
    assert (parsed.kind, parsed.matrix, parsed.layers) == ("matrix", matrix, Layers((TO_Q,)))


@pytest.mark.parametrize("ending", ["lora_A.bias", "lora_mid.weight", "anything", "weight", "scale"])
def test_another_ending_of_a_layer_is_unsupported(ending: str) -> None:
    assert parse_key(f"transformer.{TO_Q}.{ending}").kind == "unsupported"


@pytest.mark.parametrize(
    ("module", "layer"),
    [
        ("double_blocks.3.img_attn.norm.query_norm", "transformer_blocks.3.attn.norm_q"),
        ("lora_unet_double_blocks_3_txt_attn_norm_key_norm", "transformer_blocks.3.attn.norm_added_k"),
        ("diffusion_model.single_blocks.3.norm.key_norm", "single_transformer_blocks.3.attn.norm_k"),
        ("transformer.transformer_blocks.3.attn.norm_added_q", "transformer_blocks.3.attn.norm_added_q"),
    ],
)
def test_a_normalisation_has_no_matrices(module: str, layer: str) -> None:
    for ending, matrix in {"diff": "diff", "weight": "set_weight", "scale": "set_weight"}.items():
        parsed = parse_key(f"{module}.{ending}")
        assert (parsed.matrix, parsed.layers) == (matrix, Layers((layer,), is_norm=True))
    assert parse_key(f"{module}.lora_A.weight").kind == "unsupported"


@pytest.mark.parametrize("key", ["lora_te1_x.alpha", "alpha", "", "a.b.c", "transformer.norm.weight"])
def test_other_keys_are_unknown(key: str) -> None:
    assert parse_key(key).kind == "unknown"


def test_flux_s_own_keys_are_of_no_other_model() -> None:
    keys = [key for key, _, _ in mflux_entries()]
    assert by_keys(dict.fromkeys(keys, Tensor("F32", (4, 4), 64))) is None
    assert by_keys({"lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha": Tensor("F32", (), 4)}) is None
    assert by_keys({}) is None
