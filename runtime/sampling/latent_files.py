"""ComfyUI's files of latent pictures: safetensors with the channels first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

SUFFIX = ".latent"
TENSOR = "latent_tensor"

# An empty tensor that files have whose values are in the autoencoder's own scale; older ones were multiplied.
_UNSCALED, _OLD_SCALE = "latent_format_version_0", 0.18215


def to_bytes(samples: mx.array, documents: Mapping[str, Any]) -> bytes:
    """Latents ``(B, h, w, C)`` as a file.

    Parameters
    ----------
    samples
    documents : mapping
        JSON values that go into its metadata, each by its name.
    """
    from safetensors.numpy import save

    channels_first = np.array(samples.astype(mx.float32)).transpose(0, 3, 1, 2)
    tensors = {TENSOR: np.ascontiguousarray(channels_first), _UNSCALED: np.zeros(0, np.float32)}
    return save(tensors, {name: json.dumps(document) for name, document in documents.items()})


def read(path: Path) -> mx.array:
    """A file's latents, float32 ``(B, h, w, C)``.

    Raises
    ------
    ValueError
        If it is no such file; the message names it.
    """
    try:
        tensors: Any = mx.load(str(path), format="safetensors")
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if (found := tensors.get(TENSOR)) is None or found.ndim != 4:
        raise ValueError(f"{path} has no latent pictures ({TENSOR}, of four dimensions)")
    samples: mx.array = found.astype(mx.float32) * (1 if _UNSCALED in tensors else 1 / _OLD_SCALE)
    return samples.transpose(0, 2, 3, 1)
