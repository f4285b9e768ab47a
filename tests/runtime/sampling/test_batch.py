"""Batches in passes, and resuming one that was interrupted."""

import mlx.core as mx
import numpy as np
import pytest
from flow_samples import Curved, any_transformer

from run_graph.runtime.sampling import batch as sampling
from run_graph.runtime.sampling.noise import initial_noise

LEVELS = [1.0, 0.7, 0.4, 0.0]


def advances(begun: sampling.Sampling) -> tuple[list[sampling.Progress], list[int]]:
    transformer = Curved()
    return list(sampling.sample(any_transformer(transformer), None, begun, LEVELS)), transformer.batches


@pytest.mark.parametrize(
    ("at_once", "passes"), [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (3, [3, 2]), (5, [5]), (8, [5])]
)
def test_each_picture_is_that_of_its_own_seed_however_many_go_at_once(
    at_once: int, passes: list[int]
) -> None:
    found, batches = advances(sampling.begin(7, 5, 32, 32, at_once))
    assert batches == [size for size in passes for _ in range(3)]
    assert [(step.done, step.total) for step in found] == [
        (done, 3 * len(passes)) for done in range(1, 3 * len(passes) + 1)
    ]
    final = found[-1].sampling
    assert final.is_finished
    for index in range(5):
        alone = advances(sampling.begin(7 + index, 1, 32, 32, 1))[0][-1].latents
        np.testing.assert_array_equal(np.array(final.latents[index]), np.array(alone[0]))


def test_seeds_wrap_around_after_the_largest() -> None:
    begun = sampling.begin(2**64 - 1, 2, 32, 32, 2)
    assert mx.array_equal(begun.latents[1:], initial_noise(0, 32, 32)).item()


def test_a_pass_holds_as_many_pictures_as_memory_has_room_for() -> None:
    each = sampling.PEAK_PER_CHANNEL * 4608 * 3072 * 2
    assert 0.5e9 < each < 1e9  # 1024 pixels of FLUX.1 in bfloat16.
    room = {0: 1, each: 1, 2 * each: 2, 3 * each - 1: 2, 100 * each: 4}
    for spare, pictures in room.items():
        assert sampling.pictures_at_once(4, spare, tokens=4608, width=3072, itemsize=2) == pictures
