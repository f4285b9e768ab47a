"""The normal numbers that PyTorch draws on a CPU, without PyTorch: ComfyUI's noise, to the bit.

PyTorch's CPU generator is a Mersenne twister (MT19937) that is seeded with the low 32 bits of the seed.
`randn` has two ways to make normal numbers of its uniform ones. Fewer than 16 are made one at a time, in
doubles, two by a Box-Muller transform; the second waits for the next number. Otherwise all places are filled
with uniform floats, which are then transformed in blocks of 16, where place j and place j + 8 make a pair; a
rest of fewer than 16 is covered by a block of fresh numbers that ends with the last place.

The logarithm, sine and cosine of the second way are those of x86 processors with AVX2: Cephes' polynomials in
float32 with fused multiplications and additions, here computed in doubles and rounded. On other processors
PyTorch calls the C library, and its last bit may differ from these numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

BLOCK = 16
AT_ONCE = 2**15  # numbers that are transformed together: they stay in the processor's cache
_TWO_PI = np.float32(2) * np.float32(math.pi)
# Cephes' logf, cosf and sinf: highest power first.
_LOG = (
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
    *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
_COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
# ln 2 and pi / 4 in parts, so that products with whole numbers lose nothing.
_LN_2 = (0.693359375, -2.12194440e-4)
_QUARTER_PI = (0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8)


class TorchGenerator:
    """A generator as `torch.Generator().manual_seed(seed)` makes it.

    Parameters
    ----------
    seed
        0 to 2**64 - 1.
    """

    def __init__(self, seed: int) -> None:
        self._words = np.random.MT19937()
        state: Any = np.random.RandomState(seed % 2**32).get_state(legacy=False)
        self._words.state = state
        self._waiting: float | None = None  # The second normal number of a pair.

    def randn(self, shape: Sequence[int]) -> Floats:
        """The next standard normal numbers in this shape, float32."""
        count = math.prod(shape)
        if count < BLOCK:
            return np.array([self._one() for _ in range(count)], np.float32).reshape(shape)
        values = self._uniform(count)
        for start in range(0, count - BLOCK + 1, AT_ONCE):
            end = min(start + AT_ONCE, count // BLOCK * BLOCK)
            values[start:end] = _normal(values[start:end])
        if count % BLOCK:
            values[-BLOCK:] = _normal(self._uniform(BLOCK))
        return values.reshape(shape)

    def skip(self, count: int) -> None:
        """Leave out a draw of `count` numbers."""
        if count < BLOCK:
            self.randn((count,))
        else:
            self._words.random_raw(count + (BLOCK if count % BLOCK else 0), output=False)

    def _uniform(self, count: int) -> Floats:
        """Uniform numbers in [0, 1): 24 bits of a word each."""
        words: npt.NDArray[Any] = self._words.random_raw(count) & 0xFFFFFF
        return words.astype(np.float32) * np.float32(2**-24)

    def _one(self) -> float:
        """The next normal number of a draw of few."""
        if self._waiting is not None:
            value, self._waiting = self._waiting, None
            return value
        angle, size = 2 * math.pi * self._uniform_double(), self._uniform_double()
        radius = math.sqrt(-2 * math.log1p(-size))
        self._waiting = radius * math.sin(angle)
        return radius * math.cos(angle)

    def _uniform_double(self) -> float:
        """A uniform number in [0, 1): 53 bits of two words."""
        high, low = (int(word) for word in self._words.random_raw(2))
        return ((high << 32 | low) & (2**53 - 1)) * 2.0**-53


class NumberedDraws:
    """The draws of one generator by number, all of one shape: which draw is a function of seed and number.

    Draws are quick in ascending order. Going back draws again from the beginning.

    Parameters
    ----------
    seed
        0 to 2**64 - 1.
    shape
        Of every draw.
    """

    def __init__(self, seed: int, shape: Sequence[int]) -> None:
        self._seed = seed
        self._shape = tuple(shape)
        self._generator = TorchGenerator(seed)
        self._next = 0

    def __call__(self, number: int) -> Floats:
        """Draw `number`, counted from 0: standard normal, float32."""
        if number < self._next:
            self._generator, self._next = TorchGenerator(self._seed), 0
        for _ in range(number - self._next):
            self._generator.skip(math.prod(self._shape))
        self._next = number + 1
        return self._generator.randn(self._shape)


def batch_noise(seed: int, shape: Sequence[int], places: Sequence[int] | None = None) -> Floats:
    """The initial noise of a batch as ComfyUI draws it, float32 in this shape.

    Parameters
    ----------
    seed
        0 to 2**64 - 1.
    shape
        Of the batch, channels first: (B, 16, height / 8, width / 8).
    places
        A LATENT's `batch_index`: the places that these B pictures had in a larger batch, each drawn by
        itself. None: the batch is one draw.
    """
    generator = TorchGenerator(seed)
    if places is None:
        return generator.randn(shape)
    drawn = [generator.randn((1, *shape[1:])) for _ in range(max(places) + 1)]
    return np.concatenate([drawn[place] for place in places])


def _normal(uniform: Floats) -> Floats:
    """Blocks of 16 uniform numbers as normal ones."""
    blocks = uniform.reshape(-1, 2, BLOCK // 2)
    radius = np.sqrt(np.float32(-2) * _log(np.float32(1) - blocks[:, 0]))
    sine, cosine = _sine_and_cosine(_TWO_PI * blocks[:, 1])
    return np.stack([radius * cosine, radius * sine], axis=1).reshape(-1)


def _log(x: Floats) -> Floats:
    """ln x of positive float32 numbers."""
    mantissa, exponent = np.frexp(x)  # 0.5 to 1
    small = mantissa < np.float32(math.sqrt(0.5))
    x = np.where(small, mantissa + mantissa, mantissa) - np.float32(1)
    power = (exponent - small).astype(np.float32)
    square = x * x
    tail = _fused(_polynomial(_LOG, x) * x, square, power * np.float32(_LN_2[1]))
    return _fused(power, _LN_2[0], x + _fused(-square, 0.5, tail))


def _sine_and_cosine(angle: Floats) -> tuple[Floats, Floats]:
    """Of angles from 0 to 2 pi in float32."""
    octant = (angle * np.float32(4 / math.pi)).astype(np.int32) + 1 & ~1
    for part in _QUARTER_PI:
        angle = _fused(-octant.astype(np.float32), part, angle)
    square = angle * angle
    near_one = _fused(_polynomial(_COS, square) * square, square, square * np.float32(-0.5)) + np.float32(1)
    near_zero = _fused(_polynomial(_SIN, square) * square, angle, angle)
    swapped = octant & 2 != 0
    sine, cosine = np.where(swapped, near_one, near_zero), np.where(swapped, near_zero, near_one)
    return np.where(octant & 4, -sine, sine), np.where(octant + 2 & 4, -cosine, cosine)


def _polynomial(coefficients: Sequence[float], x: Floats) -> Floats:
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = _fused(value, x, coefficient)
    return value


def _fused(a: Floats, b: Floats | float, c: Floats | float) -> Floats:
    """a b + c of float32 numbers, rounded once."""
    exact = [np.asarray(each, np.float32).astype(np.float64) for each in (a, b, c)]
    return (exact[0] * exact[1] + exact[2]).astype(np.float32)
