"""The built-in model as other programs lay models out. It shares no code with what reads them."""

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from run_graph.runtime.models.components import Component
from run_graph.runtime.models.tiny import TINY_FOLDER

Array = np.ndarray[Any, Any]


class Raw(NamedTuple):
    """A tensor of a type that numpy does not have."""

    dtype: str
    shape: tuple[int, ...]
    content: bytes


Tensors = dict[str, Array | Raw]

_TYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "uint8": "U8",
    "int8": "I8",
    "int32": "I32",
    "int64": "I64",
}


def write(path: Path, tensors: Mapping[str, Array | Raw], metadata: Mapping[str, str] | None = None) -> Path:
    """A safetensors file with tensors of any type."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    position, contents = 0, []
    for name, tensor in tensors.items():
        if not isinstance(tensor, Raw):
            tensor = Raw(_TYPES[str(tensor.dtype)], tensor.shape, np.ascontiguousarray(tensor).tobytes())
        end = position + len(tensor.content)
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [position, end]}
        contents.append(tensor.content)
        position = end
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(contents))
    return path


def published(component: Component) -> dict[str, Array]:
    """The built-in model's tensors of a component, in float32, as diffusers names them."""
    (path,) = (TINY_FOLDER / component).glob("*.safetensors")
    stored: Any = mx.load(str(path))
    return {name: np.array(array.astype(mx.float32)) for name, array in stored.items()}


def prefixed(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def original_transformer() -> dict[str, Array]:
    """The transformer as Black Forest Labs' file `flux1-dev.safetensors` has it."""
    own = published("transformer")
    made: dict[str, Array] = {}

    def layer(target: str, *sources: str) -> None:
        for kind in ("weight", "bias"):
            made[f"{target}.{kind}"] = np.concatenate([own[f"{source}.{kind}"] for source in sources])

    layer("img_in", "x_embedder")
    layer("txt_in", "context_embedder")
    for target, source in (("time_in", "timestep"), ("vector_in", "text"), ("guidance_in", "guidance")):
        layer(f"{target}.in_layer", f"time_text_embed.{source}_embedder.linear_1")
        layer(f"{target}.out_layer", f"time_text_embed.{source}_embedder.linear_2")
    for index in range(_blocks(own, "transformer_blocks")):
        _joint(f"double_blocks.{index}", f"transformer_blocks.{index}", own, made, layer)
    for index in range(_blocks(own, "single_transformer_blocks")):
        target, source = f"single_blocks.{index}", f"single_transformer_blocks.{index}"
        attention = [f"{source}.attn.to_{name}" for name in "qkv"]
        layer(f"{target}.linear1", *attention, f"{source}.proj_mlp")
        layer(f"{target}.linear2", f"{source}.proj_out")
        layer(f"{target}.modulation.lin", f"{source}.norm.linear")
        made[f"{target}.norm.query_norm.scale"] = own[f"{source}.attn.norm_q.weight"]
        made[f"{target}.norm.key_norm.scale"] = own[f"{source}.attn.norm_k.weight"]
    layer("final_layer.linear", "proj_out")
    for kind in ("weight", "bias"):
        scale, shift = np.split(own[f"norm_out.linear.{kind}"], 2)
        made[f"final_layer.adaLN_modulation.1.{kind}"] = np.concatenate([shift, scale])
    return made


def _joint(
    target: str, source: str, own: dict[str, Array], made: dict[str, Array], layer: Callable[..., None]
) -> None:
    for stream, projections, out, feed_forward, modulation, norm in (
        ("img", ("to_q", "to_k", "to_v"), "to_out.0", "ff", "norm1", "norm"),
        (
            "txt",
            ("add_q_proj", "add_k_proj", "add_v_proj"),
            "to_add_out",
            "ff_context",
            "norm1_context",
            "norm_added",
        ),
    ):
        layer(f"{target}.{stream}_attn.qkv", *(f"{source}.attn.{name}" for name in projections))
        layer(f"{target}.{stream}_attn.proj", f"{source}.attn.{out}")
        layer(f"{target}.{stream}_mlp.0", f"{source}.{feed_forward}.net.0.proj")
        layer(f"{target}.{stream}_mlp.2", f"{source}.{feed_forward}.net.2")
        layer(f"{target}.{stream}_mod.lin", f"{source}.{modulation}.linear")
        made[f"{target}.{stream}_attn.norm.query_norm.scale"] = own[f"{source}.attn.{norm}_q.weight"]
        made[f"{target}.{stream}_attn.norm.key_norm.scale"] = own[f"{source}.attn.{norm}_k.weight"]


def _blocks(tensors: Mapping[str, Any], family: str) -> int:
    return len({name.split(".")[1] for name in tensors if name.startswith(f"{family}.")})


def latent_diffusion_vae() -> dict[str, Array]:
    """The autoencoder as `ae.safetensors` has it."""
    own = published("vae")
    made = {}
    levels = 4
    for name, array in own.items():
        for half, blocks in (("encoder", "down"), ("decoder", "up")):
            for index in range(levels):
                level = index if half == "encoder" else levels - 1 - index
                place = f"{half}.{blocks}_blocks.{index}."
                name = name.replace(f"{place}resnets.", f"{half}.{blocks}.{level}.block.")
                name = name.replace(f"{place}{blocks}samplers.0.", f"{half}.{blocks}.{level}.{blocks}sample.")
        for index in (0, 1):
            name = name.replace(f"mid_block.resnets.{index}", f"mid.block_{index + 1}")
        if "mid_block.attentions.0." in name:
            name = name.replace("mid_block.attentions.0.", "mid.attn_1.")
            name = name.replace("group_norm", "norm").replace("to_out.0", "proj_out")
            for letter in "qkv":
                name = name.replace(f"to_{letter}", letter)
            if name.endswith("weight") and "norm" not in name:
                array = array[:, :, None, None]
        name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        made[name] = array
    return made


def all_in_one() -> dict[str, Array]:
    """Transformer, text encoders and autoencoder as ComfyUI's checkpoints have them."""
    return {
        **prefixed(original_transformer(), "model.diffusion_model."),
        **prefixed(published("text_encoder"), "text_encoders.clip_l.transformer."),
        **prefixed(published("text_encoder_2"), "text_encoders.t5xxl.transformer."),
        **prefixed(latent_diffusion_vae(), "vae."),
    }


# ComfyUI's files of the model, by the usual names.
COMFYUI: dict[str, Callable[[], dict[str, Array]]] = {
    "flux1-dev.safetensors": original_transformer,
    "ae.safetensors": latent_diffusion_vae,
    "clip_l.safetensors": lambda: published("text_encoder"),
    "t5xxl_fp16.safetensors": lambda: published("text_encoder_2"),
    "sigclip_vision_patch14_384.safetensors": lambda: published("image_encoder"),
    "flux1-redux-dev.safetensors": lambda: published("image_embedder"),
}


# Where ComfyUI's users have them, in a folder of models.
COMFYUI_FOLDERS = {
    "flux1-dev.safetensors": "diffusion_models/FLUX",
    "ae.safetensors": "vae",
    "clip_l.safetensors": "text_encoders",
    "t5xxl_fp16.safetensors": "text_encoders",
    "sigclip_vision_patch14_384.safetensors": "clip_vision",
    "flux1-redux-dev.safetensors": "style_models",
}


def write_models_folder(folder: Path) -> Path:
    """A folder like ComfyUI's `models` with the model's six files, all in one, and a renamed one."""
    for name, place in COMFYUI_FOLDERS.items():
        write(folder / place / name, COMFYUI[name]())
    write(folder / "checkpoints" / "everything.safetensors", all_in_one())
    write(folder / "vae" / "Renamed.SFT", COMFYUI["ae.safetensors"]())
    write(folder / "vae" / "other.safetensors", {"weight": np.zeros((2, 2), np.float32)})
    return folder


def write_comfyui(folder: Path) -> Path:
    """ComfyUI's six files of the model in a folder."""
    for name, tensors in COMFYUI.items():
        write(folder / name, tensors())
    return folder


def write_folder(
    folder: Path, changed: Component, tensors: Mapping[str, Array | Raw], **metadata: str
) -> Path:
    """The built-in model in diffusers' layout, with one component's weights replaced."""
    for part in TINY_FOLDER.iterdir():
        if part.is_dir() and part.name != changed:
            (folder / part.name).parent.mkdir(parents=True, exist_ok=True)
            (folder / part.name).symlink_to(part, target_is_directory=True)
    config = (TINY_FOLDER / changed / "config.json").read_bytes()
    (path,) = (TINY_FOLDER / changed).glob("*.safetensors")
    write(folder / changed / path.name, tensors, metadata)
    (folder / changed / "config.json").write_bytes(config)
    return folder


def float8_values(exponent_bits: int) -> Array:
    """The value of each of the 256 codes of OCP's E4M3 (4 exponent bits) or E5M2 (5).

    Computed from the definition: sign, exponent, mantissa; the exponent 0 means no implied one. E4M3 has NaN
    where all bits are set, and no infinity; E5M2 has both, as IEEE's formats do.
    """
    mantissa_bits, bias = 7 - exponent_bits, 2 ** (exponent_bits - 1) - 1
    values = np.empty(256, np.float64)
    for code in range(256):
        sign = -1.0 if code & 0x80 else 1.0
        exponent = (code & 0x7F) >> mantissa_bits
        fraction = (code & (2**mantissa_bits - 1)) / 2**mantissa_bits
        implied = 0 if exponent == 0 else 1
        size = (implied + fraction) * 2.0 ** (max(exponent, 1) - bias)
        highest = exponent == 2**exponent_bits - 1
        if exponent_bits == 4 and code & 0x7F == 0x7F:
            size = np.nan
        elif exponent_bits == 5 and highest:
            size = np.nan if fraction else np.inf
        values[code] = sign * size
    return values


FLOAT8 = {"F8_E4M3": float8_values(4), "F8_E5M2": float8_values(5)}


def as_float8(array: Array, dtype: str) -> tuple[Raw, Array]:
    """An array rounded to 8-bit floats: as a file has it, and what it means, in float32."""
    values = FLOAT8[dtype]
    order = np.argsort(values[np.isfinite(values)], kind="stable")
    codes = np.flatnonzero(np.isfinite(values))[order]
    sorted_values = values[codes]
    upper = np.clip(np.searchsorted(sorted_values, array), 1, len(codes) - 1)
    nearer_below = array - sorted_values[upper - 1] < sorted_values[upper] - array
    chosen = codes[np.where(nearer_below, upper - 1, upper)].astype(np.uint8)
    return Raw(dtype, array.shape, chosen.tobytes()), values[chosen].astype(np.float32)
