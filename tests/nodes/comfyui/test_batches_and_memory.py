"""A batch that would take too much memory goes through the network in several passes."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from run_graph.nodes import CLIPTextEncode, EmptySD3LatentImage, KSampler, LoadFlux
from run_graph.runtime.sampling import conditioned
from run_graph.runtime.testing import NodeBench


def sampled(bench: NodeBench, model: str) -> np.ndarray:
    flux = bench.run(LoadFlux(model=model))
    prompt = bench.run(CLIPTextEncode(text="a fox", clip=flux.text_encoders)).conditioning
    latent = bench.run(EmptySD3LatentImage(width=32, height=48, batch_size=5)).latent
    both: dict[str, Any] = {"positive": prompt, "negative": prompt}
    return np.array(
        bench.run(KSampler(model=flux.flux, latent_image=latent, steps=2, cfg=2.0, **both)).latent.samples
    )


def test_a_large_batch_is_split_and_gives_the_same_pictures(
    small_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = NodeBench(tmp_path)
    whole = sampled(bench, small_model)
    passes: list[int] = []
    predict = conditioned._Part._predict

    def counted(self: Any, x: mx.array, sigma: float) -> mx.array:
        passes.append(x.shape[0])
        return predict(self, x, sigma)

    monkeypatch.setattr(conditioned._Part, "_predict", counted)
    # 24 numbers of 4 bytes for each of 16 + 6 tokens and 128 channels: room for two pictures.
    each = 24 * 4 * (16 + 6) * 128
    monkeypatch.setattr(conditioned, "machine_memory", lambda: int(2.5 * each / conditioned.SHARE_OF_MEMORY))
    split = sampled(bench, small_model)
    assert max(passes) == 2
    assert sum(passes) == 5 * 2 * 2  # pictures, steps, positive and negative
    np.testing.assert_allclose(split, whole, atol=1e-4 * np.abs(whole).max())
