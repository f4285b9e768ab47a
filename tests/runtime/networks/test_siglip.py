"""SigLIP's patches are those of a convolution with the patch's stride."""

from types import SimpleNamespace

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from run_graph.runtime.networks import cpu, siglip

WIDTH = 10


def embeddings(size: int, patch: int) -> SimpleNamespace:
    mx.random.seed(0)
    return SimpleNamespace(
        patch_embedding=nn.Conv2d(3, WIDTH, kernel_size=patch, stride=patch),
        position_embedding=nn.Embedding((size // patch) ** 2, WIDTH),
    )


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize(("size", "patch"), [(12, 4), (14, 4), (15, 15), (42, 14)])
def test_patches_are_embedded_as_a_convolution_does(monkeypatch, on_cpu, size, patch):
    monkeypatch.setattr(cpu, "on_cpu", lambda: on_cpu)
    module = embeddings(size, patch)
    pixels = mx.random.normal((2, size, size, 3), key=mx.random.key(0))
    convolved = module.patch_embedding(pixels).reshape(2, -1, WIDTH)
    expected = convolved + module.position_embedding.weight
    np.testing.assert_allclose(np.array(siglip.embed(module, pixels)), np.array(expected), atol=1e-5)


def test_a_picture_of_another_size_is_refused_in_patches():
    with pytest.raises(ValueError, match=r"9 patches of 4 x 4 pixels, but one of 16 x 16 pixels gives 16"):
        siglip.embed(embeddings(12, 4), mx.zeros((1, 16, 16, 3)))
