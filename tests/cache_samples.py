"""Values and results to keep, and caches in a folder."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from run_graph.graph import Outputs
from run_graph.runtime.cache.blob_store import BlobStore
from run_graph.runtime.cache.disk import DiskCache
from run_graph.runtime.generation import Generation, PictureFile, Reference
from run_graph.runtime.values import Conditioning, Entry, Image, Latent, Mask, ReduxTokens, Vision

REFERENCE = Reference(path="fox.png", mode="low", tokens=36, strength=0.5)
GENERATION = Generation(
    "a fox", (REFERENCE,), "tiny", None, lora_scales=(0.5,), parameters={"seed": 2**64 - 1, "guidance": 3.5}
)


def colours(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


EIGHT_BITS = np.rint(colours(1, 9, 7, 3) * 255).astype(np.float32) / np.float32(255)

VALUES: dict[str, tuple[Any, str]] = {
    "a decoded picture": (Image(colours(1, 4, 5, 3), generation=GENERATION), ".safetensors"),
    "a picture with alpha": (Image.from_comfyui(colours(1, 4, 5, 4), GENERATION), ".safetensors"),
    "a picture of 8-bit colours": (Image.from_file(EIGHT_BITS, PictureFile("fox.png", "white")), ".png"),
    "negative zeros, which 8 bits do not hold": (
        Image(np.full((1, 2, 2, 3), -0.0, np.float32)),
        ".safetensors",
    ),
    "not a number": (Image(np.full((1, 2, 2, 3), np.nan, np.float32)), ".safetensors"),
    "a batch": (Image(np.zeros((2, 2, 2, 3), np.float32)), ".safetensors"),
    "an empty picture": (Image(np.zeros((1, 0, 2, 3), np.float32)), ".safetensors"),
    "a mask": (Mask(colours(1, 3, 2)), ".safetensors"),
    "a latent": (Latent(mx.array(colours(1, 2, 4, 16)), GENERATION), ".safetensors"),
    "bfloat16": (
        Conditioning(
            (
                Entry(
                    mx.array(colours(1, 3, 8)).astype(mx.bfloat16), mx.ones((1, 4)), "a fox", (REFERENCE,) * 2
                ),
            )
        ),
        ".safetensors",
    ),
    "several entries": (
        Conditioning(
            (
                Entry(mx.ones((1, 2, 8)), mx.ones((1, 4)), mask=colours(1, 3, 2), guidance=2.5),
                Entry(
                    mx.zeros((1, 2, 8)),
                    mx.ones((1, 4)),
                    "a cat",
                    attention_bias=np.full((1, 3, 3), -0.5, np.float16),
                    area=(0.5, 0.5, 0.0, 0.25),
                    area_is_share=True,
                    end=0.5,
                    reference_latents=(mx.ones((1, 2, 2, 16)), mx.zeros((1, 4, 2, 16))),
                ),
            )
        ),
        ".safetensors",
    ),
    "a latent with a mask": (
        Latent(mx.zeros((2, 2, 2, 16)), None, colours(1, 8, 8), (0, 3)),
        ".safetensors",
    ),
    "vision": (Vision(mx.zeros((1, 4, 2)), REFERENCE), ".safetensors"),
    "tokens": (ReduxTokens(mx.zeros((1, 4, 2), mx.float16), REFERENCE), ".safetensors"),
    "a number": (5, ".json"),
    "a large number": (10**30, ".json"),
    "a fraction": (0.1, ".json"),
    "a truth": (True, ".json"),
    "nothing": (None, ".json"),
    "a text": ("né\n\ud800", ".json"),
    "a long text": ("né" * 2_000, ".json"),
    "a heap": ([1, (2.0, "3"), {"a": [None, {}]}], ".json"),
}


class Kept(Outputs):
    value: Any


class Number(Outputs):
    number: int


def disk(folder: Path, limit: int = 10**9, least_seconds: float = 0) -> tuple[DiskCache, list[str]]:
    """A cache, and the list of its warnings."""
    warnings: list[str] = []
    return DiskCache(BlobStore(folder, limit), warnings.append, least_seconds), warnings


BOOKKEEPING = ("CACHEDIR.TAG", "disk-use")


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in BOOKKEEPING)
