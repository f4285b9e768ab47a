"""Small LoRA files in every format that mflux maps, with the weight updates that each represents."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

Array = np.ndarray
Tensors = dict[str, Array]
Sizes = dict[str, tuple[int, int]]  # Outputs and inputs of each linear layer of the network.
Deltas = dict[str, Array]  # Updates (outputs, inputs) of layers, by their names in mflux's transformer.

RANK = 4
ALPHA = 6.0

JOINT = "transformer_blocks.0"
SINGLE = "single_transformer_blocks.1"
SEPARATE = (
    f"{JOINT}.attn.to_q",
    f"{JOINT}.attn.to_out.0",
    f"{JOINT}.attn.add_v_proj",
    f"{JOINT}.attn.to_add_out",
    f"{SINGLE}.attn.to_k",
    f"{SINGLE}.proj_mlp",
    f"{SINGLE}.proj_out",
    f"{SINGLE}.norm.linear",
)
FUSED = {
    "lora_unet_double_blocks_0_img_attn_qkv": [f"{JOINT}.attn.to_{part}" for part in "qkv"],
    "lora_unet_double_blocks_0_txt_attn_qkv": [f"{JOINT}.attn.add_{part}_proj" for part in "qkv"],
    "lora_unet_double_blocks_0_img_mlp_0": [f"{JOINT}.ff.linear1"],
    "lora_unet_double_blocks_0_txt_mod_lin": [f"{JOINT}.norm1_context.linear"],
    "lora_unet_single_blocks_1_linear1": [
        *(f"{SINGLE}.attn.to_{part}" for part in "qkv"),
        f"{SINGLE}.proj_mlp",
    ],
    "lora_unet_single_blocks_1_linear2": [f"{SINGLE}.proj_out"],
}


@dataclass(frozen=True)
class Sample:
    """The tensors of a LoRA file, its metadata, and what it adds to the weights at scale 1."""

    tensors: Tensors
    deltas: Deltas
    metadata: dict[str, str] | None = None

    def save(self, path: Path) -> Path:
        save_file(self.tensors, path, metadata=self.metadata)
        return path


def _pair(rng: np.random.Generator, outputs: int, inputs: int) -> tuple[Array, Array]:
    """Matrices whose product is about as large as a weight of the network."""
    up = rng.standard_normal((outputs, RANK), dtype=np.float32) / np.sqrt(RANK * inputs).astype(np.float32)
    return up, rng.standard_normal((RANK, inputs), dtype=np.float32)


def _separate(
    sizes: Sizes, prefix: str, up_name: str, down_name: str, alpha_in_file: bool, seed: int
) -> Sample:
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}
    deltas: Deltas = {}
    for layer in SEPARATE:
        up, down = _pair(rng, *sizes[layer])
        tensors |= {f"{prefix}{layer}.{up_name}": up, f"{prefix}{layer}.{down_name}": down}
        deltas[layer] = up @ down
        if alpha_in_file:
            tensors[f"{prefix}{layer}.alpha"] = np.array(ALPHA, np.float32)
            deltas[layer] *= ALPHA / RANK
    return Sample(tensors, deltas)


def diffusers(sizes: Sizes, seed: int = 0) -> Sample:
    """diffusers and ai-toolkit: prefixed names, no alpha, so that scale 1 is B A."""
    return _separate(sizes, "transformer.", "lora_B.weight", "lora_A.weight", False, seed)


def bare_names(sizes: Sizes, seed: int = 0) -> Sample:
    """The same in ComfyUI's spelling, without `.weight`."""
    return _separate(sizes, "transformer.", "lora_B", "lora_A", False, seed)


def up_and_down(sizes: Sizes, seed: int = 0) -> Sample:
    """Unprefixed names with `lora_up`, `lora_down` and an alpha for each layer."""
    return _separate(sizes, "", "lora_up.weight", "lora_down.weight", True, seed)


def peft_metadata(sizes: Sizes, seed: int = 0) -> Sample:
    """PEFT keeps one alpha for all layers in the file's metadata."""
    plain = diffusers(sizes, seed)
    settings = {"transformer.lora_alpha": ALPHA, "transformer.r": RANK}
    deltas = {layer: delta * (ALPHA / RANK) for layer, delta in plain.deltas.items()}
    return Sample(plain.tensors, deltas, {"lora_adapter_metadata": json.dumps(settings)})


def kohya(sizes: Sizes, seed: int = 0) -> Sample:
    """kohya's names for the original FLUX code, which fuses the rows of q, k, v (and mlp)."""
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}
    deltas: Deltas = {}
    for name, parts in FUSED.items():
        rows = [sizes[part][0] for part in parts]
        up, down = _pair(rng, sum(rows), sizes[parts[0]][1])
        tensors |= {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down}
        tensors[f"{name}.alpha"] = np.array(ALPHA, np.float32)
        update = up @ down * np.float32(ALPHA / RANK)
        deltas |= dict(zip(parts, np.split(update, np.cumsum(rows)[:-1]), strict=True))
    return Sample(tensors, deltas)


def lokr(sizes: Sizes, seed: int = 0) -> Sample:
    """LyCORIS: the update is a Kronecker product, here of unfactored matrices."""
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}
    deltas: Deltas = {}
    for layer in ("x_embedder", f"{JOINT}.attn.to_q", f"{SINGLE}.proj_out"):
        outputs, inputs = sizes[layer]
        first = rng.standard_normal((4, 4), dtype=np.float32)
        second = rng.standard_normal((outputs // 4, inputs // 4), dtype=np.float32) / np.sqrt(
            np.float32(inputs)
        )
        name = f"lycoris__{layer.replace('.', '_')}"
        tensors |= {f"{name}.lokr_w1": first, f"{name}.lokr_w2": second}
        deltas[layer] = np.kron(first, second)
    return Sample(tensors, deltas)


def factored_lokr(sizes: Sizes, seed: int = 0) -> Sample:
    """LyCORIS with a low-rank second factor, kohya's prefix and an alpha."""
    rng = np.random.default_rng(seed)
    outputs, inputs = sizes[f"{JOINT}.attn.to_v"]
    first = rng.standard_normal((4, 4), dtype=np.float32)
    up, down = _pair(rng, outputs // 4, inputs // 4)
    name = f"lora_unet_{JOINT.replace('.', '_')}_attn_to_v"
    tensors = {f"{name}.lokr_w1": first, f"{name}.lokr_w2_a": up, f"{name}.lokr_w2_b": down}
    tensors[f"{name}.alpha"] = np.array(ALPHA, np.float32)
    return Sample(tensors, {f"{JOINT}.attn.to_v": np.kron(first, up @ down) * np.float32(ALPHA / RANK)})


FORMATS: dict[str, Callable[[Sizes], Sample]] = {
    "diffusers": diffusers,
    "bare names": bare_names,
    "up and down": up_and_down,
    "PEFT metadata": peft_metadata,
    "kohya": kohya,
    "LoKr": lokr,
    "factored LoKr": factored_lokr,
}
