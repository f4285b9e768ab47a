"""Small LoRA files in every spelling, with the weight updates that each represents."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    "double_blocks.0.img_attn.qkv": [f"{JOINT}.attn.to_{part}" for part in "qkv"],
    "double_blocks.0.txt_attn.qkv": [f"{JOINT}.attn.add_{part}_proj" for part in "qkv"],
    "double_blocks.0.img_attn.proj": [f"{JOINT}.attn.to_out.0"],
    "double_blocks.0.txt_attn.proj": [f"{JOINT}.attn.to_add_out"],
    "double_blocks.0.img_mlp.0": [f"{JOINT}.ff.linear1"],
    "double_blocks.0.txt_mlp.2": [f"{JOINT}.ff_context.linear2"],
    "double_blocks.0.txt_mod.lin": [f"{JOINT}.norm1_context.linear"],
    "single_blocks.1.linear1": [*(f"{SINGLE}.attn.to_{part}" for part in "qkv"), f"{SINGLE}.proj_mlp"],
    "single_blocks.1.linear2": [f"{SINGLE}.proj_out"],
    "single_blocks.1.modulation.lin": [f"{SINGLE}.norm.linear"],
}
XLABS = {
    "double_blocks.0.processor.qkv_lora1": [f"{JOINT}.attn.to_{part}" for part in "qkv"],
    "double_blocks.0.processor.qkv_lora2": [f"{JOINT}.attn.add_{part}_proj" for part in "qkv"],
    "double_blocks.0.processor.proj_lora1": [f"{JOINT}.attn.to_out.0"],
    "double_blocks.0.processor.proj_lora2": [f"{JOINT}.attn.to_add_out"],
    "single_blocks.1.processor.qkv_lora": [f"{SINGLE}.attn.to_{part}" for part in "qkv"],
    "single_blocks.1.processor.proj_lora": [f"{SINGLE}.proj_out"],
}
ORIGINAL_GLOBALS = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}
NORMS = {
    "double_blocks.0.img_attn.norm.query_norm": f"{JOINT}.attn.norm_q",
    "double_blocks.0.txt_attn.norm.key_norm": f"{JOINT}.attn.norm_added_k",
    "single_blocks.1.norm.key_norm": f"{SINGLE}.attn.norm_k",
}
HEAD = 64  # Channels of a head in the tests' model.
GLOBALS = tuple(ORIGINAL_GLOBALS.values())
# The feed-forward layers as diffusers calls them.
PUBLISHED = {
    f"{JOINT}.ff.net.0.proj": f"{JOINT}.ff.linear1",
    f"{JOINT}.ff_context.net.2": f"{JOINT}.ff_context.linear2",
}


@dataclass(frozen=True)
class Decomposed:
    """A DoRA's update of layers that a file fuses, and the magnitudes: (rows,), or (1, columns)."""

    layers: Sequence[str]
    update: Array
    magnitudes: Array

    def changed(self, fused: Array) -> Array:
        """What it makes of the layers' weights, at scale 1."""
        changed = fused + self.update
        if self.magnitudes.ndim == 2:
            return self.magnitudes * changed / np.linalg.norm(changed, axis=0)
        return self.magnitudes[:, None] * changed / np.linalg.norm(changed, axis=1)[:, None]


@dataclass(frozen=True)
class Sample:
    """The tensors of a LoRA file, its metadata, and what it makes of weights.

    `deltas` and `biases` are added to weights and biases at scale 1, `replaced` take the place of weights,
    and `decomposed` depend on the weights that they find.
    """

    tensors: Tensors
    deltas: Deltas
    metadata: dict[str, str] | None = None
    biases: Deltas = field(default_factory=dict)
    replaced: Deltas = field(default_factory=dict)
    decomposed: Sequence[Decomposed] = ()

    def merged(self, weights: Mapping[str, Array], scale: float) -> Deltas:
        """Weights, by their layers' names, with the LoRA merged into them at a scale."""
        merged = dict(weights)
        for layer, delta in self.deltas.items():
            merged[layer] = merged[layer] + np.float32(scale) * delta
        for layer, weight in self.replaced.items():
            merged[layer] = merged[layer] + np.float32(scale) * (weight - merged[layer])
        for each in self.decomposed:
            fused = np.concatenate([merged[layer] for layer in each.layers])
            fused = fused + np.float32(scale) * (each.changed(fused) - fused)
            ends = np.cumsum([len(merged[layer]) for layer in each.layers])[:-1]
            merged |= dict(zip(each.layers, np.split(fused, ends), strict=True))
        return merged

    def save(self, path: Path) -> Path:
        save_file(self.tensors, path, metadata=self.metadata)
        return path


def _pair(rng: np.random.Generator, outputs: int, inputs: int) -> tuple[Array, Array]:
    """Matrices whose product is about as large as a weight of the network."""
    up = rng.standard_normal((outputs, RANK), dtype=np.float32) / np.sqrt(RANK * inputs).astype(np.float32)
    return up, rng.standard_normal((RANK, inputs), dtype=np.float32)


def _separate(
    sizes: Sizes,
    name: Callable[[str], str],
    up_name: str,
    down_name: str,
    alpha_in_file: bool,
    seed: int,
    layers: Sequence[str] = SEPARATE,
) -> Sample:
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}
    deltas: Deltas = {}
    for layer in layers:
        up, down = _pair(rng, *sizes[layer])
        tensors |= {f"{name(layer)}.{up_name}": up, f"{name(layer)}.{down_name}": down}
        deltas[layer] = up @ down
        if alpha_in_file:
            tensors[f"{name(layer)}.alpha"] = np.array(ALPHA, np.float32)
            deltas[layer] *= ALPHA / RANK
    return Sample(tensors, deltas)


def _prefixed(prefix: str, separator: str = ".") -> Callable[[str], str]:
    return lambda layer: prefix + layer.replace(".", separator)


def diffusers(sizes: Sizes, seed: int = 0) -> Sample:
    """diffusers and ai-toolkit: prefixed names, no alpha, so that scale 1 is B A."""
    return _separate(sizes, _prefixed("transformer."), "lora_B.weight", "lora_A.weight", False, seed)


def bare_names(sizes: Sizes, seed: int = 0) -> Sample:
    """The same in ComfyUI's spelling, without `.weight`."""
    return _separate(sizes, _prefixed("transformer."), "lora_B", "lora_A", False, seed)


def up_and_down(sizes: Sizes, seed: int = 0) -> Sample:
    """Unprefixed names with `lora_up`, `lora_down` and an alpha for each layer."""
    return _separate(sizes, _prefixed(""), "lora_up.weight", "lora_down.weight", True, seed)


def peft_metadata(sizes: Sizes, seed: int = 0) -> Sample:
    """PEFT keeps one alpha for all layers in the file's metadata."""
    plain = diffusers(sizes, seed)
    settings = {"transformer.lora_alpha": ALPHA, "transformer.r": RANK}
    deltas = {layer: delta * (ALPHA / RANK) for layer, delta in plain.deltas.items()}
    return Sample(plain.tensors, deltas, {"lora_adapter_metadata": json.dumps(settings)})


def _fused(
    sizes: Sizes, name: Callable[[str], str], up_name: str, down_name: str, alpha_in_file: bool, seed: int
) -> Sample:
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}
    deltas: Deltas = {}
    for original, parts in FUSED.items():
        rows = [sizes[part][0] for part in parts]
        up, down = _pair(rng, sum(rows), sizes[parts[0]][1])
        tensors |= {f"{name(original)}.{up_name}": up, f"{name(original)}.{down_name}": down}
        update = up @ down
        if alpha_in_file:
            tensors[f"{name(original)}.alpha"] = np.array(ALPHA, np.float32)
            update *= np.float32(ALPHA / RANK)
        deltas |= dict(zip(parts, np.split(update, np.cumsum(rows)[:-1]), strict=True))
    return Sample(tensors, deltas)


def kohya(sizes: Sizes, seed: int = 0) -> Sample:
    """kohya's names for the original FLUX code, which fuses the rows of q, k, v (and mlp)."""
    return _fused(sizes, _prefixed("lora_unet_", "_"), "lora_up.weight", "lora_down.weight", True, seed)


def xlabs(sizes: Sizes, seed: int = 0) -> Sample:
    """x-flux: "lora1" is the picture's side of a joint block, "lora2" the text's; no alpha."""
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}
    deltas: Deltas = {}
    for name, parts in XLABS.items():
        rows = [sizes[part][0] for part in parts]
        up, down = _pair(rng, sum(rows), sizes[parts[0]][1])
        tensors |= {f"{name}.up.weight": up, f"{name}.down.weight": down}
        deltas |= dict(zip(parts, np.split(up @ down, np.cumsum(rows)[:-1]), strict=True))
    return Sample(tensors, deltas)


def one_trainer_new(sizes: Sizes, seed: int = 0) -> Sample:
    """OneTrainer since 2026: the original names, but the fused rows apart and numbered."""
    numbered = {
        part: f"transformer.{original}.{index}" if len(parts) > 1 else f"transformer.{original}"
        for original, parts in FUSED.items()
        for index, part in enumerate(parts)
    }
    return _separate(
        sizes, numbered.__getitem__, "lora_up.weight", "lora_down.weight", True, seed, list(numbered)
    )


def original_globals(sizes: Sizes, seed: int = 0) -> Sample:
    """Layers outside the blocks in the original names; one of them has its rows in another order."""
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}
    deltas: Deltas = {}
    for original, layer in ORIGINAL_GLOBALS.items():
        up, down = _pair(rng, *sizes[layer])
        name = f"diffusion_model.{original}"
        tensors |= {f"{name}.lora_B.weight": up, f"{name}.lora_A.weight": down}
        shift_scale = original.endswith("modulation.1")
        deltas[layer] = (np.roll(up, len(up) // 2, axis=0) if shift_scale else up) @ down
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


def fused_lokr(sizes: Sizes, seed: int = 0) -> Sample:
    """A LoKr of the original code's fused rows, whose first factor has a multiple of three rows."""
    rng = np.random.default_rng(seed)
    parts = FUSED["double_blocks.0.img_attn.qkv"]
    outputs, inputs = sizes[parts[0]]
    first = rng.standard_normal((6, 4), dtype=np.float32)
    second = rng.standard_normal((outputs // 2, inputs // 4), dtype=np.float32) / np.sqrt(np.float32(inputs))
    name = "diffusion_model.double_blocks.0.img_attn.qkv"
    tensors = {
        f"{name}.lokr_w1": first,
        f"{name}.lokr_w2": second,
        f"{name}.alpha": np.array(1e10, np.float32),
    }
    return Sample(tensors, dict(zip(parts, np.split(np.kron(first, second), 3), strict=True)))


_AB, _UP_DOWN = ("lora_B.weight", "lora_A.weight"), ("lora_up.weight", "lora_down.weight")


def _published(layer: str) -> str:
    return "transformer." + {own: published for published, own in PUBLISHED.items()}.get(layer, layer)


# The same layers in the spellings of trainers and programs.
SPELLINGS: dict[str, Callable[..., Sample]] = {
    "PEFT": lambda sizes, seed=0: _separate(sizes, _prefixed("base_model.model."), *_AB, False, seed),
    "PEFT's pipeline": lambda sizes, seed=0: _separate(
        sizes, _prefixed("base_model.model.transformer."), *_AB, False, seed
    ),
    "PEFT with the adapter's name": lambda sizes, seed=0: _separate(
        sizes, _prefixed("transformer."), "lora_B.default.weight", "lora_A.default.weight", False, seed
    ),
    "PEFT with a name of its own": lambda sizes, seed=0: _separate(
        sizes,
        _prefixed("base_model.model."),
        "lora_B.my-style_2.weight",
        "lora_A.my-style_2.weight",
        False,
        seed,
    ),
    "ComfyUI, diffusers' layers": lambda sizes, seed=0: _separate(
        sizes, _prefixed("diffusion_model."), *_AB, False, seed
    ),
    "bare": lambda sizes, seed=0: _separate(sizes, _prefixed(""), *_AB, False, seed),
    "diffusers' feed-forward": lambda sizes, seed=0: _separate(
        sizes, _published, *_AB, False, seed, list(PUBLISHED.values())
    ),
    "diffusers' global layers": lambda sizes, seed=0: _separate(
        sizes, _prefixed("transformer."), *_AB, False, seed, GLOBALS
    ),
    "old diffusers": lambda sizes, seed=0: _separate(
        sizes, _prefixed("transformer."), "lora.up.weight", "lora.down.weight", False, seed
    ),
    "first diffusers": lambda sizes, seed=0: _separate(
        sizes, lambda layer: f"transformer.{layer}_lora", "up.weight", "down.weight", False, seed
    ),
    "OneTrainer": lambda sizes, seed=0: _separate(
        sizes, _prefixed("lora_transformer_", "_"), *_UP_DOWN, True, seed
    ),
    "OneTrainer, new": one_trainer_new,
    "kohya, diffusers' layers": lambda sizes, seed=0: _separate(
        sizes, _prefixed("lora_unet_", "_"), *_UP_DOWN, True, seed
    ),
    "LyCORIS": lambda sizes, seed=0: _separate(sizes, _prefixed("lycoris_", "_"), *_UP_DOWN, True, seed),
    "ComfyUI": lambda sizes, seed=0: _fused(sizes, _prefixed("diffusion_model."), *_AB, False, seed),
    "ComfyUI, up and down": lambda sizes, seed=0: _fused(
        sizes, _prefixed("diffusion_model."), *_UP_DOWN, True, seed
    ),
    "all in one": lambda sizes, seed=0: _fused(sizes, _prefixed("model.diffusion_model."), *_AB, False, seed),
    "original code": lambda sizes, seed=0: _fused(sizes, _prefixed(""), *_AB, False, seed),
    "original code, global layers": original_globals,
    "XLabs": xlabs,
    "LoKr of fused rows": fused_lokr,
}


def dora(sizes: Sizes, seed: int = 0, by_columns: bool = False) -> Sample:
    """kohya's names with LyCORIS's magnitudes: of rows, or in older files of columns."""
    plain = kohya(sizes, seed)
    rng = np.random.default_rng(seed + 1)
    tensors, decomposed = dict(plain.tensors), []
    for original, parts in FUSED.items():
        update = np.concatenate([plain.deltas[part] for part in parts])
        shape = (1, update.shape[1]) if by_columns else (update.shape[0], 1)
        magnitudes = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        tensors[f"lora_unet_{original.replace('.', '_')}.dora_scale"] = magnitudes
        decomposed.append(Decomposed(parts, update, magnitudes if by_columns else magnitudes[:, 0]))
    return Sample(tensors, {}, decomposed=decomposed)


def peft_dora(sizes: Sizes, seed: int = 0) -> Sample:
    """PEFT's magnitudes have one dimension."""
    plain = SPELLINGS["PEFT"](sizes, seed)
    rng = np.random.default_rng(seed + 1)
    magnitudes = {
        layer: rng.uniform(0.5, 1.5, len(delta)).astype(np.float32) for layer, delta in plain.deltas.items()
    }
    tensors = {f"base_model.model.{layer}.lora_magnitude_vector": each for layer, each in magnitudes.items()}
    decomposed = [Decomposed([layer], plain.deltas[layer], each) for layer, each in magnitudes.items()]
    return Sample(plain.tensors | tensors, {}, decomposed=decomposed)


def loha(sizes: Sizes, seed: int = 0, with_magnitudes: bool = False) -> Sample:
    """LyCORIS: two low-rank matrices, multiplied number by number; also with magnitudes."""
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}
    deltas: Deltas = {}
    decomposed = []
    for original, parts in FUSED.items():
        rows = [sizes[part][0] for part in parts]
        (up, down), (up2, down2) = (_pair(rng, sum(rows), sizes[parts[0]][1]) for _ in range(2))
        up2 *= np.sqrt(np.float32(down2.shape[1]))
        name = f"lycoris_{original.replace('.', '_')}"
        matrices = {"w1_a": up, "w1_b": down, "w2_a": up2, "w2_b": down2}
        tensors |= {f"{name}.hada_{end}": matrix for end, matrix in matrices.items()}
        tensors[f"{name}.alpha"] = np.array(ALPHA, np.float32)
        update = (up @ down) * (up2 @ down2) * np.float32(ALPHA / RANK)
        if with_magnitudes:
            tensors[f"{name}.dora_scale"] = rng.uniform(0.5, 1.5, (len(update), 1)).astype(np.float32)
            decomposed.append(Decomposed(parts, update, tensors[f"{name}.dora_scale"][:, 0]))
        else:
            deltas |= dict(zip(parts, np.split(update, np.cumsum(rows)[:-1]), strict=True))
    return Sample(tensors, deltas, decomposed=decomposed)


def uneven_lokr(sizes: Sizes, seed: int = 0, with_magnitudes: bool = False) -> Sample:
    """LoKrs whose blocks do not end where the fused layers do; one with its rows in another order."""
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}
    deltas: Deltas = {}
    decomposed = []
    for original, parts in (
        ("double_blocks.0.img_attn.qkv", FUSED["double_blocks.0.img_attn.qkv"]),
        ("final_layer.adaLN_modulation.1", ["norm_out.linear"]),
    ):
        rows, inputs = [sizes[part][0] for part in parts], sizes[parts[0]][1]
        first = rng.standard_normal((4, 4), dtype=np.float32)
        second = rng.standard_normal((sum(rows) // 4, inputs // 4), dtype=np.float32) / np.sqrt(
            np.float32(inputs)
        )
        name = f"diffusion_model.{original}"
        tensors |= {f"{name}.lokr_w1": first, f"{name}.lokr_w2": second}
        update = np.kron(first, second)
        magnitudes = rng.uniform(0.5, 1.5, len(update)).astype(np.float32)
        if with_magnitudes:
            tensors[f"{name}.dora_scale"] = magnitudes[:, None]
        if original.startswith("final"):
            half = len(update) // 2
            update, magnitudes = np.roll(update, half, axis=0), np.roll(magnitudes, half)
        if with_magnitudes:
            decomposed.append(Decomposed(parts, update, magnitudes))
        else:
            deltas |= dict(zip(parts, np.split(update, np.cumsum(rows)[:-1]), strict=True))
    return Sample(tensors, deltas, decomposed=decomposed)


def differences(sizes: Sizes, seed: int = 0) -> Sample:
    """ComfyUI's extractor: whole differences of weights, biases and normalisations."""
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}
    deltas: Deltas = {}
    biases: Deltas = {}
    for original in ("double_blocks.0.img_attn.qkv", "single_blocks.1.linear2", "img_in"):
        parts = FUSED.get(original) or [ORIGINAL_GLOBALS[original]]
        rows, inputs = [sizes[part][0] for part in parts], sizes[parts[0]][1]
        update = rng.standard_normal((sum(rows), inputs), dtype=np.float32) / np.sqrt(np.float32(inputs))
        bias = rng.standard_normal(sum(rows), dtype=np.float32)
        tensors |= {f"diffusion_model.{original}.diff": update, f"diffusion_model.{original}.diff_b": bias}
        ends = np.cumsum(rows)[:-1]
        deltas |= dict(zip(parts, np.split(update, ends), strict=True))
        biases |= dict(zip(parts, np.split(bias, ends), strict=True))
    for original, own in NORMS.items():
        deltas[own] = rng.uniform(0.5, 1.5, HEAD).astype(np.float32)
        tensors[f"diffusion_model.{original}.diff"] = deltas[own]
    return Sample(tensors, deltas, biases=biases)


def biases(sizes: Sizes, seed: int = 0) -> Sample:
    """PEFT with a bias of the second matrix, to which alpha / rank applies; and ComfyUI's of the layer."""
    plain = peft_metadata(sizes, seed)
    rng = np.random.default_rng(seed + 1)
    layer, other = f"{JOINT}.attn.to_q", f"{SINGLE}.proj_out"
    bias, own = (rng.standard_normal(sizes[each][0], dtype=np.float32) for each in (layer, other))
    tensors = {f"transformer.{layer}.lora_B.bias": bias, f"transformer.{other}.diff_b": own}
    return Sample(
        plain.tensors | tensors,
        plain.deltas,
        plain.metadata,
        biases={layer: bias * np.float32(ALPHA / RANK), other: own},
    )


def replaced(sizes: Sizes, seed: int = 0) -> Sample:
    """Whole new weights of a layer and of normalisations, in three spellings."""
    rng = np.random.default_rng(seed)
    layer = f"{JOINT}.attn.to_out.0"
    weight = rng.standard_normal(sizes[layer], dtype=np.float32) / np.sqrt(np.float32(sizes[layer][1]))
    norms = [rng.uniform(0.5, 2, HEAD).astype(np.float32) for _ in range(2)]
    tensors = {
        "double_blocks.0.img_attn.proj.set_weight": weight,
        "double_blocks.0.img_attn.norm.key_norm.scale": norms[0],
        f"transformer.{SINGLE}.attn.norm_q.weight": norms[1],
    }
    new = {layer: weight, f"{JOINT}.attn.norm_k": norms[0], f"{SINGLE}.attn.norm_q": norms[1]}
    return Sample(tensors, {}, replaced=new)


def lycoris_norms(sizes: Sizes, seed: int = 0) -> Sample:
    """LyCORIS writes differences of normalisations with names of their own."""
    rng = np.random.default_rng(seed)
    gains = {own: rng.uniform(0.5, 1.5, HEAD).astype(np.float32) for own in NORMS.values()}
    names = {original: f"lora_unet_{original.replace('.', '_')}.w_norm" for original in NORMS}
    return Sample({names[original]: gains[own] for original, own in NORMS.items()}, gains)


FORMATS: dict[str, Callable[..., Sample]] = {
    "diffusers": diffusers,
    "bare names": bare_names,
    "up and down": up_and_down,
    "PEFT metadata": peft_metadata,
    "kohya": kohya,
    "LoKr": lokr,
    "factored LoKr": factored_lokr,
    **SPELLINGS,
    "DoRA": dora,
    "DoRA of columns": lambda sizes, seed=0: dora(sizes, seed, by_columns=True),
    "PEFT DoRA": peft_dora,
    "LoHa": loha,
    "LoHa with magnitudes": lambda sizes, seed=0: loha(sizes, seed, with_magnitudes=True),
    "uneven LoKr": uneven_lokr,
    "uneven LoKr with magnitudes": lambda sizes, seed=0: uneven_lokr(sizes, seed, with_magnitudes=True),
    "differences": differences,
    "biases": biases,
    "replaced weights": replaced,
    "LyCORIS norms": lycoris_norms,
}
