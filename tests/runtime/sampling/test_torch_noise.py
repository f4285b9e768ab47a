"""torch's normal numbers without torch, to the bit."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from run_graph.runtime.sampling.torch_noise import AT_ONCE, Floats, NumberedDraws, TorchGenerator, batch_noise

GOLDEN = json.loads((Path(__file__).parent / "golden" / "comfyui_noise.json").read_text())
"""What ComfyUI 0.33 drew, by seed: SHA-256 of the noise in several shapes, of pictures by their places in a
batch (`batch_index`), and of a sampler's first two draws; values of the Brownian path."""

SEEDS = [0, 1, 42, 2**31, 2**32 + 5, 2**63, 2**64 - 1]
SIZES = [1, 2, 3, 15, 16, 17, 31, 32, 100, *(AT_ONCE + more for more in (-1, 0, 1, 17, AT_ONCE + 5))]


def digest(noise: Floats) -> str:
    assert noise.dtype == np.float32
    return hashlib.sha256(noise.tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("seed", "shape"), [(seed, shape) for seed in GOLDEN for shape in GOLDEN[seed] if shape[0].isdigit()]
)
def test_the_initial_noise_is_comfyuis(seed: str, shape: str) -> None:
    noise = batch_noise(int(seed), [int(side) for side in shape.split("x")])
    assert digest(noise) == GOLDEN[seed][shape]


@pytest.mark.parametrize("places", [key for key in GOLDEN["42"] if key.startswith("batch_index")])
def test_pictures_have_the_noise_of_their_places_in_a_larger_batch(places: str) -> None:
    wanted = json.loads(places.removeprefix("batch_index "))
    noise = batch_noise(42, (len(wanted), 16, 12, 12), wanted)
    assert digest(noise) == GOLDEN["42"][places]


@pytest.mark.parametrize("seed", [seed for seed in GOLDEN if "sampler" in GOLDEN[seed]])
def test_samplers_draw_from_one_generator_in_turn(seed: str) -> None:
    draws = NumberedDraws(int(seed) + 1, (1, 16, 12, 12))
    assert [digest(draws(0)), digest(draws(1))] == GOLDEN[seed]["sampler"]


def test_a_draw_is_the_same_in_whatever_order() -> None:
    for shape in [(1, 16, 3, 3), (2, 5), (3,), (33,)]:
        ascending = NumberedDraws(9, shape)
        expected = [ascending(number) for number in range(5)]
        anyhow = NumberedDraws(9, shape)
        for number in [3, 3, 0, 4, 1]:
            np.testing.assert_array_equal(anyhow(number), expected[number])


@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_are_torchs_in_draws_of_any_size(seed: int) -> None:
    torch = pytest.importorskip("torch", reason="parity oracle: torch's own generator")
    theirs = torch.Generator().manual_seed(seed - 2**64 if seed >= 2**63 else seed)
    ours = TorchGenerator(seed)
    for size in [*SIZES, *SIZES[::-1]]:
        expected = torch.randn(size, generator=theirs).numpy()
        if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
            np.testing.assert_array_equal(ours.randn((size,)), expected)
        else:  # the last bit is the C library's there
            np.testing.assert_allclose(ours.randn((size,)), expected, rtol=1e-5, atol=1e-6)


def test_skipping_leaves_out_one_draw() -> None:
    for size in SIZES:
        drawn, skipped = TorchGenerator(5), TorchGenerator(5)
        drawn.randn((size,))
        skipped.skip(size)
        np.testing.assert_array_equal(drawn.randn((7,)), skipped.randn((7,)))
