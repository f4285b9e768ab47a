"""GGUF's blocks as weights that MLX computes with packed, or as floats.

Most types store a code for each weight, and a scale and an offset for each 32: exactly what MLX calls affine
quantisation in groups of 32, w = scale * code + offset. Their codes are only put into MLX's order. Types with
a scale for each 16 weights are decoded and quantised again.

Layouts: `ggml-common.h` and `dequantize_row_*` in `ggml-quants.c` of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import mlx.core as mx

from run_graph.runtime.models.layouts.gguf_types import BLOCK_TYPES, GROUP

LARGEST_PIECE = 2**24  # Weights decoded to floats at once: 64 MB in float32.


class Packed(NamedTuple):
    """A weight as MLX's quantised layers hold it.

    Attributes
    ----------
    weight
        Codes, (rows, columns * bits / 32) uint32.
    scales, biases
        (rows, columns / 32) float32.
    """

    weight: mx.array
    scales: mx.array
    biases: mx.array


class _Codes(NamedTuple):
    """Codes (blocks, weights) uint8; scales and offsets (blocks, weights / 32) float32."""

    codes: mx.array
    scales: mx.array
    offsets: mx.array


def packed(content: mx.array, kind: str, rows: int) -> Packed:
    """The blocks of a weight of so many rows, (bytes,) uint8, packed for MLX.

    Blocks must not cross the ends of rows.
    """
    block = BLOCK_TYPES[kind]
    if not block.is_exact:
        return _quantised_again(content, kind, rows)
    found = _CODES[kind](content.reshape(-1, block.nbytes))
    return Packed(
        pack(found.codes, block.bits).reshape(rows, -1),
        found.scales.reshape(rows, -1),
        found.offsets.reshape(rows, -1),
    )


def _quantised_again(content: mx.array, kind: str, rows: int) -> Packed:
    """As `packed`, some rows after the other, so that few weights are floats at a time."""
    block = BLOCK_TYPES[kind]
    columns = len(content) // rows // block.nbytes * block.weights
    step = max(1, LARGEST_PIECE // columns)
    by_row = content.reshape(rows, -1)
    pieces = []
    for start in range(0, rows, step):
        values = _piece(by_row[start : start + step].reshape(-1, block.nbytes), kind).reshape(-1, columns)
        pieces.append(Packed(*mx.quantize(values, group_size=GROUP, bits=block.bits)))
        mx.eval(pieces[-1])
    return Packed(*(mx.concatenate(list(parts)) for parts in zip(*pieces, strict=True)))


def decoded(content: mx.array, kind: str, shape: tuple[int, ...]) -> mx.array:
    """The blocks (bytes,) uint8 as float32 weights of a shape, which blocks need not fit."""
    return _floats(content, kind).reshape(shape)


def pack(codes: mx.array, bits: int) -> mx.array:
    """Codes (..., n) uint8 below 2^bits in MLX's order, (..., n * bits / 32) uint32; n is a multiple of 32.

    MLX packs them without gaps, the first in the lowest bits.
    """
    if bits == 8:
        return mx.contiguous(codes).view(mx.uint32)
    if bits == 4:
        return (codes[..., 0::2] | (codes[..., 1::2] << 4)).view(mx.uint32)
    twos = _joined(mx.contiguous(codes).view(mx.uint16), 8, bits)
    fours = _joined(twos.view(mx.uint32), 16, 2 * bits)
    eights = _joined(fours.view(mx.uint64), 32, 4 * bits)
    content = eights.view(mx.uint8).reshape(*eights.shape, 8)[..., :bits]
    return mx.contiguous(content).reshape(*codes.shape[:-1], -1).view(mx.uint32)


def _joined(pairs: mx.array, apart: int, bits: int) -> mx.array:
    """Two codes of so many bits in each number, the second moved down to lie on the first."""
    return pairs - (pairs >> apart) * ((1 << apart) - (1 << bits))


def _floats(content: mx.array, kind: str) -> mx.array:
    """Weights (n,) float32, decoded piece by piece to bound the memory between."""
    block = BLOCK_TYPES[kind]
    blocks = content.reshape(-1, block.nbytes)
    step = LARGEST_PIECE // block.weights
    pieces = [_piece(blocks[start : start + step], kind) for start in range(0, len(blocks), step)]
    mx.eval(pieces)
    return mx.concatenate(pieces) if len(pieces) > 1 else pieces[0]


def _piece(blocks: mx.array, kind: str) -> mx.array:
    if kind in _FLOATS:
        return _FLOATS[kind](blocks).flatten()
    found = _CODES[kind](blocks)
    groups = found.codes.reshape(len(blocks), -1, GROUP).astype(mx.float32)
    return (groups * found.scales[..., None] + found.offsets[..., None]).flatten()


def _half(content: mx.array) -> mx.array:
    """Pairs of bytes (blocks, 2 n) as float16 numbers, (blocks, n) float32."""
    return mx.contiguous(content).view(mx.float16).astype(mx.float32)


def _nibbles(content: mx.array) -> mx.array:
    """The lower halves of bytes (..., n), then the upper ones: (..., 2 n)."""
    return mx.concatenate([content & 15, content >> 4], axis=-1)


def _bits(content: mx.array) -> mx.array:
    """The bits of bytes (blocks, n), the lowest first: (blocks, n * 8)."""
    places = mx.arange(8, dtype=mx.uint8)
    return ((content[..., None] >> places) & 1).reshape(len(content), -1)


# -- blocks of 32 -----------------------------------------------------------------------------------


def _q8_0(blocks: mx.array) -> _Codes:
    scales = _half(blocks[:, :2])
    return _Codes(blocks[:, 2:] ^ 128, scales, -128 * scales)


def _q4_0(blocks: mx.array) -> _Codes:
    scales = _half(blocks[:, :2])
    return _Codes(_nibbles(blocks[:, 2:]), scales, -8 * scales)


def _q4_1(blocks: mx.array) -> _Codes:
    return _Codes(_nibbles(blocks[:, 4:]), _half(blocks[:, :2]), _half(blocks[:, 2:4]))


def _q5_0(blocks: mx.array) -> _Codes:
    scales = _half(blocks[:, :2])
    return _Codes(_nibbles(blocks[:, 6:]) | (_bits(blocks[:, 2:6]) << 4), scales, -16 * scales)


def _q5_1(blocks: mx.array) -> _Codes:
    codes = _nibbles(blocks[:, 8:]) | (_bits(blocks[:, 4:8]) << 4)
    return _Codes(codes, _half(blocks[:, :2]), _half(blocks[:, 2:4]))


# -- blocks of 256, in groups of 32 -----------------------------------------------------------------


def _k_scales(blocks: mx.array) -> tuple[mx.array, mx.array]:
    """Scales and offsets (blocks, 8) of a block that begins with two float16 and 12 bytes of 6-bit codes."""
    low, high, rest = (blocks[:, start : start + 4] for start in (4, 8, 12))
    scales = mx.concatenate([low & 63, (rest & 15) | ((low >> 6) << 4)], axis=1)
    offsets = mx.concatenate([high & 63, (rest >> 4) | ((high >> 6) << 4)], axis=1)
    return (
        _half(blocks[:, :2]) * scales.astype(mx.float32),
        -_half(blocks[:, 2:4]) * offsets.astype(mx.float32),
    )


def _q4_k(blocks: mx.array) -> _Codes:
    codes = _nibbles(blocks[:, 16:].reshape(len(blocks), 4, 32))
    return _Codes(codes.reshape(len(blocks), 256), *_k_scales(blocks))


def _q5_k(blocks: mx.array) -> _Codes:
    codes = _nibbles(blocks[:, 48:].reshape(len(blocks), 4, 32)).reshape(len(blocks), 8, 32)
    places = mx.arange(8, dtype=mx.uint8)[:, None]
    fifth = (blocks[:, None, 16:48] >> places) & 1
    return _Codes((codes | (fifth << 4)).reshape(len(blocks), 256), *_k_scales(blocks))


# -- blocks of 256, in groups of 16 -----------------------------------------------------------------


def _pairs_of_bits(content: mx.array) -> mx.array:
    """Bytes (blocks, 64) as numbers of two bits (blocks, 256): of 32 bytes all lowest ones, then the next."""
    places = mx.array([0, 2, 4, 6], mx.uint8)[:, None]
    halves = content.reshape(len(content), 2, 1, 32)
    return ((halves >> places) & 3).reshape(len(content), 256)


def _grouped(codes: mx.array, scales: mx.array) -> mx.array:
    """Codes (blocks, 256) times the scales (blocks, 16) of their groups, (blocks, 16, 16) float32."""
    return codes.reshape(len(codes), 16, 16).astype(mx.float32) * scales[..., None]


def _q2_k(blocks: mx.array) -> mx.array:
    scales, codes = blocks[:, :16], _pairs_of_bits(blocks[:, 16:80])
    scale = _half(blocks[:, 80:82]) * (scales & 15).astype(mx.float32)
    offset = _half(blocks[:, 82:84]) * (scales >> 4).astype(mx.float32)
    return _grouped(codes, scale) - offset[..., None]


def _q3_k(blocks: mx.array) -> mx.array:
    count = len(blocks)
    places = mx.arange(8, dtype=mx.uint8)[:, None]
    third = ((blocks[:, None, :32] >> places) & 1).reshape(count, 256)
    codes = (_pairs_of_bits(blocks[:, 32:96]) | (third << 2)).astype(mx.int8) - 4
    lower = _nibbles(blocks[:, 96:104])
    upper = (blocks[:, None, 104:108] >> mx.array([0, 2, 4, 6], mx.uint8)[:, None]) & 3
    scales = (lower | (upper.reshape(count, 16) << 4)).astype(mx.int8) - 32
    return _grouped(codes, _half(blocks[:, 108:110]) * scales.astype(mx.float32))


def _q6_k(blocks: mx.array) -> mx.array:
    count = len(blocks)
    lower = _nibbles(blocks[:, :128].reshape(count, 2, 64)).reshape(count, 256)
    upper = _pairs_of_bits(blocks[:, 128:192])
    codes = (lower | (upper << 4)).astype(mx.int8) - 32
    scales = mx.contiguous(blocks[:, 192:208]).view(mx.int8).astype(mx.float32)
    return _grouped(codes, _half(blocks[:, 208:210]) * scales)


_CODES: dict[str, Callable[[mx.array], _Codes]] = {
    "Q8_0": _q8_0,
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
}
_FLOATS: dict[str, Callable[[mx.array], mx.array]] = {"Q2_K": _q2_k, "Q3_K": _q3_k, "Q6_K": _q6_k}
