"""Write a small FLUX.1 + Redux checkpoint with random weights in diffusers' folder layout.

The networks are FLUX's own at a small width; only their weights are random. They are scaled so that
a picture is neither flat nor saturated and so that the prompt and the reference image change it.
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from training.layout.files import write_files
from training.layout.shapes import SHAPES, Shape
from training.layout.spec import TinySpec

# Standard deviations relative to 1/sqrt(inputs), by a part of the tensor's name; first match wins.
_GAINS = (
    ("SelfAttention.q", 0.125),  # T5 does not scale its attention scores by 1/sqrt(64).
    ("norm1.linear", 0.5),
    ("norm1_context.linear", 0.5),
    ("norm.linear", 0.5),
    ("norm_out.linear", 0.3),
    ("add_v_proj", 2.0),
    ("text_embedder", 1.5),
    ("redux_", 1.6),
    ("decoder.conv_out", 0.6),
)
_ATTENTION_SHARPNESS = 1.6  # Gain of the query and key norms: attention favours some tokens.


def make_checkpoint(folder: Path, spec: TinySpec | None = None) -> None:
    """Write every file of a checkpoint into `folder`, which must not exist yet.

    The same spec gives the same bytes every time. Weights are float32.
    """
    spec = spec or TinySpec()

    def write_weights(part: str, file: Path) -> None:
        tensors = {name: _tensor(f"{part}/{name}", shape, spec.seed) for name, shape in SHAPES[part](spec)}
        save_file(tensors, file, metadata={"format": "pt"})

    write_files(folder, spec, write_weights)


def _tensor(name: str, shape: Shape, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Initial values; each tensor has its own random stream, so adding one does not change the others."""
    stream = np.random.default_rng([seed, zlib.crc32(name.encode())])
    values = stream.standard_normal(shape, dtype=np.float32)
    if "norm_q" in name or "norm_k" in name or "norm_added" in name:
        return np.float32(_ATTENTION_SHARPNESS) + np.float32(0.1) * values
    if name.endswith(".bias") or name.endswith("_bias"):
        return np.float32(0.05) * values
    if len(shape) == 1:
        return 1 + np.float32(0.1) * values
    return np.float32(_gain(name) / np.sqrt(_inputs(name, shape))) * values


def _gain(name: str) -> float:
    return next((gain for part, gain in _GAINS if part in name), 1.0)


def _inputs(name: str, shape: Shape) -> int:
    """The number of inputs that each output sums; for an embedding table it is 1."""
    is_table = "embedding.weight" in name and len(shape) == 2
    is_table = is_table or name.endswith(("shared.weight", "relative_attention_bias.weight", "probe"))
    return 1 if is_table else int(np.prod(shape[1:]))
