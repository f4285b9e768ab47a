"""Initial noise."""

import mlx.core as mx


def initial_noise(seed: int, width: int, height: int) -> mx.array:
    """Standard normal packed latents, (1, height/16 * width/16, 64) float32.

    The same as mflux's for the same seed and size, so that its users' seeds give their pictures here too.
    `width` and `height` are pixels, multiples of 16.
    """
    return mx.random.normal((1, (height // 16) * (width // 16), 64), key=mx.random.key(seed))
