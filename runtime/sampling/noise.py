"""Seeded noise: the initial latents, and what samplers add between steps."""

import mlx.core as mx
import numpy as np


def initial_noise(seed: int, width: int, height: int) -> mx.array:
    """Standard normal packed latents, (1, height/16 * width/16, 64) float32.

    The same as mflux's for the same seed and size, so that its users' seeds give their pictures here too.
    `width` and `height` are pixels, multiples of 16.
    """
    return mx.random.normal((1, (height // 16) * (width // 16), 64), key=mx.random.key(seed))


def added_noise(seed: int, draw: int, tokens: int) -> mx.array:
    """Standard normal noise for one step of one picture, (1, tokens, 64) float32.

    A function of the seed (0 to 2**64 - 1) and the number of the draw (from 0) alone, so that nothing need be
    remembered to resume. The key is numpy's `SeedSequence` of both, which keeps the draws independent.
    """
    key = np.random.SeedSequence((seed, draw)).generate_state(2)
    return mx.random.normal((1, tokens, 64), key=mx.array(key))
