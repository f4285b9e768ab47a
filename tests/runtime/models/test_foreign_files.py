"""Models that are not FLUX.1's, or are packed by another program, are refused by their own name."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_layouts import Raw, original_transformer, published, write, write_folder

from run_graph.runtime.errors import ModelError
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import Component
from run_graph.runtime.models.layouts.other_formats import other_format
from run_graph.runtime.models.resolution import from_files, resolve_flux

Tensors = dict[str, Any]


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def with_input(width: int) -> Tensors:
    return original_transformer() | {"img_in.weight": zeros(192, width)}


def chroma() -> Tensors:
    tensors = {name: a for name, a in original_transformer().items() if "_mod.lin" not in name}
    return tensors | {"distilled_guidance_layer.in_proj.weight": zeros(8, 8)}


def flux2() -> Tensors:
    return {
        "double_stream_modulation_img.lin.weight": zeros(8, 8),
        "single_stream_modulation.lin.weight": zeros(8, 8),
        "double_blocks.0.img_attn.qkv.weight": zeros(24, 8),
        "double_blocks.0.img_attn.norm.key_norm.scale": zeros(128),
    }


def nunchaku() -> Tensors:
    return {
        "transformer_blocks.0.qkv_proj.qweight": np.zeros((8, 4), np.int8),
        "transformer_blocks.0.qkv_proj.wscales": zeros(1, 8),
        "transformer_blocks.0.qkv_proj.smooth_factor": zeros(8),
    }


def bitsandbytes() -> Tensors:
    tensors: Tensors = dict(original_transformer())
    name = "double_blocks.0.img_mlp.0.weight"
    return tensors | {
        name: np.zeros((tensors[name].size // 2, 1), np.uint8),
        f"{name}.absmax": zeros(8),
        f"{name}.quant_map": zeros(16),
        f"{name}.quant_state.bitsandbytes__nf4": np.zeros(8, np.uint8),
    }


FILES: dict[str, tuple[Callable[[], Tensors], str]] = {
    "Fill": (lambda: with_input(384), "FLUX.1 Fill, which needs a picture and a mask"),
    "Depth or Canny": (lambda: with_input(128), "FLUX.1 Depth or Canny, which needs a control picture"),
    "inpainting": (lambda: with_input(96), "for inpainting, which needs a mask"),
    "Chroma": (chroma, "is Chroma"),
    "FLUX.2": (flux2, "is FLUX.2"),
    "nunchaku": (nunchaku, "quantised by nunchaku"),
    "bitsandbytes": (bitsandbytes, "quantised by bitsandbytes"),
    "DiffusionKit": (
        lambda: {"multimodal_transformer_blocks.0.image_transformer_block.attn.q_proj.scales": zeros(8, 1)},
        "quantised by DiffusionKit",
    ),
    "flux.swift": (
        lambda: {
            "transformer_blocks.0.attn.to_q.weight": Raw("U32", (64, 8), bytes(4 * 64 * 8)),
            "transformer_blocks.0.attn.to_q.scales": zeros(64, 1),
            "transformer_blocks.0.attn.to_q.biases": zeros(64, 1),
            "time_text_embed.timestep_embedder.linear_1.weight": zeros(64, 256),
            "single_transformer_blocks.0.attn.norm_k.weight": zeros(128),
        },
        "quantised by MLX in another program, such as flux.swift",
    ),
    "Stable Diffusion XL": (
        lambda: {
            "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight": zeros(4, 4)
        },
        "is Stable Diffusion XL",
    ),
    "Stable Diffusion 1": (
        lambda: {"model.diffusion_model.input_blocks.0.0.weight": zeros(4, 4, 3, 3)},
        "is a UNet of Stable Diffusion",
    ),
    "Stable Diffusion 3": (
        lambda: {"joint_blocks.0.x_block.attn.qkv.weight": zeros(4, 4)},
        "Stable Diffusion 3",
    ),
    "Qwen-Image": (lambda: {"transformer_blocks.0.img_mod.1.weight": zeros(4, 4)}, "is Qwen-Image"),
    "Wan": (lambda: {"blocks.0.cross_attn.k.weight": zeros(4, 4)}, "is Wan"),
    "a ControlNet": (
        lambda: original_transformer() | {"controlnet_blocks.0.weight": zeros(4, 4)},
        "is a ControlNet for FLUX",
    ),
    "a LoRA": (
        lambda: {"transformer.transformer_blocks.0.attn.to_q.lora_A.weight": zeros(4, 4)},
        "is a LoRA, a change to a model",
    ),
    "CLIP-G": (
        lambda: {
            "text_model.embeddings.token_embedding.weight": zeros(8, 1280),
            "text_model.final_layer_norm.weight": zeros(1280),
        },
        "a CLIP text encoder of another size than FLUX.1's: it is 1280 wide, not 768",
    ),
    "the autoencoder of Stable Diffusion": (
        lambda: {
            "decoder.up.0.block.0.conv1.weight": zeros(8, 8, 3, 3),
            "decoder.conv_in.weight": zeros(512, 4, 3, 3),
        },
        "an autoencoder of 4 channels, such as Stable Diffusion's",
    ),
    "the autoencoder of FLUX.2": (
        lambda: {"decoder.conv_in.weight": zeros(512, 32, 3, 3), "bn.running_mean": zeros(128)},
        "an autoencoder of 32 channels, such as FLUX.2's",
    ),
    "CLIP's vision tower": (
        lambda: {
            "vision_model.embeddings.class_embedding": zeros(8),
            "vision_model.embeddings.patch_embedding.weight": zeros(8, 3, 14, 14),
            "vision_model.post_layernorm.weight": zeros(8),
        },
        "is CLIP's vision model",
    ),
    "SigLIP for pictures of any size": (
        lambda: {"vision_model.embeddings.patch_embedding.weight": zeros(1152, 768)},
        "is SigLIP 2 for pictures of any size (NaFlex)",
    ),
    "nothing known": (lambda: {"a.weight": zeros(2)}, "holds none of FLUX.1's networks (it has a.weight)"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_refused_by_its_own_name(tmp_path: Path, kind: str) -> None:
    tensors, said = FILES[kind]
    path = write(tmp_path / "flux1-dev.safetensors", tensors())
    with pytest.raises(ModelError) as caught:
        from_files(str(path), [path])
    message = str(caught.value)
    assert said in message
    assert message.startswith(str(path))
    assert ". Use " in message or ". Give " in message or ". Name " in message, "what to do instead"
    for misleading in ("damaged", "Download or copy"):
        assert misleading not in message


def test_kontext_is_known_by_its_metadata_or_its_name(tmp_path: Path) -> None:
    tensors = original_transformer()
    told = write(tmp_path / "a.safetensors", tensors, {"modelspec.title": "FLUX.1 Kontext [dev]"})
    with pytest.raises(ModelError, match=r"is FLUX\.1 Kontext, as its metadata says"):
        resolve_flux(str(told))
    named = write(tmp_path / "flux1-dev-kontext_fp8_scaled.safetensors", tensors)
    with pytest.raises(ModelError, match=r"is FLUX\.1 Kontext, as its name says"):
        resolve_flux(str(named))


def draw_things(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("create table tensors (name text)")
    database.close()


OTHER_FORMATS: dict[str, tuple[Callable[[Path], object], str]] = {
    "Draw Things": (draw_things, "is a model of Draw Things"),
    "a pickle": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(40)), "is a file of PyTorch (a pickle)"),
    "an old pickle": (lambda path: path.write_bytes(b"\x80\x02}q\x00."), "is a file of PyTorch (a pickle)"),
    "empty": (lambda path: path.write_bytes(b""), "is not a safetensors file"),
    "text": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "Git LFS"),
    "a page": (lambda path: path.write_text("<!DOCTYPE html><html>"), "is a web page"),
}


@pytest.mark.parametrize("kind", OTHER_FORMATS)
def test_a_file_of_another_format_is_refused_by_its_name(tmp_path: Path, kind: str) -> None:
    make, said = OTHER_FORMATS[kind]
    path = tmp_path / "flux1-dev.safetensors"
    make(path)
    with pytest.raises(ModelError) as caught:
        resolve_flux(str(path))
    assert said in str(caught.value)


FOLDERS: dict[str, tuple[Component, Callable[[], Tensors], str]] = {
    "Fill": (
        "transformer",
        lambda: published("transformer") | {"x_embedder.weight": zeros(192, 384)},
        "Fill",
    ),
    "Canny": (
        "transformer",
        lambda: published("transformer") | {"x_embedder.weight": zeros(192, 128)},
        "Canny",
    ),
    "bitsandbytes": ("transformer", bitsandbytes, "bitsandbytes"),
    "nunchaku": ("transformer", nunchaku, "nunchaku"),
    "Chroma": ("transformer", chroma, "Chroma"),
    "flux.swift": ("transformer", FILES["flux.swift"][0], "flux.swift"),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_of_another_model_is_refused_by_its_name(tmp_path: Path, kind: str) -> None:
    component, tensors, said = FOLDERS[kind]
    folder = write_folder(tmp_path / "model", component, tensors())
    (fault,) = Checkpoint("model", folder=folder).faults(component)
    assert said in fault
    assert "damaged" not in fault


def test_a_folder_of_another_quantiser_is_refused_by_its_name(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", "transformer", published("transformer"))
    config = folder / "transformer" / "config.json"
    text = config.read_text().replace("{", '{"quantization_config": {"quant_method": "sdnq"},', 1)
    config.write_text(text)
    (fault,) = Checkpoint("model", folder=folder).faults("transformer")
    assert "was quantised by sdnq" in fault


def test_a_folder_of_kontext_or_fill_is_refused_by_its_pipeline(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", "transformer", published("transformer"))
    (folder / "model_index.json").write_text('{"_class_name": "FluxKontextPipeline"}')
    (fault,) = Checkpoint("model", folder=folder).faults("transformer")
    assert "is FLUX.1 Kontext" in fault


@pytest.mark.parametrize(
    ("repo", "said"),
    [
        ("black-forest-labs/FLUX.1-Kontext-dev", "is FLUX.1 Kontext"),
        ("black-forest-labs/FLUX.1-Fill-dev", "is FLUX.1 Fill"),
        ("black-forest-labs/FLUX.1-Canny-dev", "is FLUX.1 Depth or Canny"),
        ("black-forest-labs/FLUX.2-dev", "is FLUX.2"),
    ],
)
def test_a_repository_of_another_model_is_refused_before_it_is_downloaded(repo: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        resolve_flux(repo)


@pytest.mark.parametrize("name", ["diffusion_pytorch_model-00001-of-00003.safetensors", "0.safetensors"])
def test_one_of_several_files_is_no_model(tmp_path: Path, name: str) -> None:
    metadata = {"quantization_level": "4"} if name.startswith("0") else None
    path = write(tmp_path / name, published("transformer"), metadata)
    with pytest.raises(ModelError, match=r"is one of several files of a model\. Name the folder"):
        resolve_flux(str(path))


def test_a_header_whose_length_is_written_like_a_pickle_s_start_is_no_pickle() -> None:
    start = (0x0280).to_bytes(8, "little")
    assert "PyTorch" in str(other_format(start))
    assert other_format(start + b'{"__metadata__"') is None
