"""FLUX's prediction for lists of conditioning entries: weighted averages, and guidance by a negative.

The formulas are ComfyUI's (0.33), checked against its own results in tests/conformance. x is a noisy latent
picture, D the picture without noise that the model predicts from it: D = x - sigma * velocity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from run_graph.runtime.conditioning import Entry
from run_graph.runtime.device import machine_memory
from run_graph.runtime.networks.rope import image_positions
from run_graph.runtime.networks.transformer import FluxTransformer, Prepared
from run_graph.runtime.sampling.batch import pictures_at_once
from run_graph.runtime.sampling.latents import pack, unpack
from run_graph.runtime.sampling.regions import Box, Placed, place, with_same_areas

DEFAULT_GUIDANCE = 3.5
SHARE_OF_MEMORY = 0.25
"""The share of the machine's memory that one pass of the network may take for a batch."""

_TINY = 1e-37  # where no entry holds, the average is 0 rather than 0 / 0


Levels = Callable[[float], float]
"""The noise level that a part of the sampling (0 to 1) begins at."""


@dataclass(frozen=True)
class Guidance:
    """How the predictions for the lists of entries become one.

    Attributes
    ----------
    positive : tuple of Entry
    negative : tuple of Entry
        Empty for guidance without a negative.
    scale : float
        cfg: D = negative + scale * (positive - negative). At 1 the negative is not needed.
    middle : tuple of Entry
        For guidance by two conditions; empty otherwise.
    middle_scale : float
    nested : bool
        How two conditions are combined (:func:`dual`).
    rescale : float
        Share of the result whose spread is set back to the positive prediction's (arXiv 2305.08891, 3.4).
    """

    positive: tuple[Entry, ...]
    negative: tuple[Entry, ...] = ()
    scale: float = 1.0
    middle: tuple[Entry, ...] = ()
    middle_scale: float = 1.0
    nested: bool = False
    rescale: float = 0.0

    @property
    def needs_negative(self) -> bool:
        return bool(self.negative) and not np.isclose(self.scale, 1.0, rtol=1e-9, atol=0)


class ConditionedModel:
    """Predicts D for latent pictures of one size.

    Parameters
    ----------
    transformer : FluxTransformer
    guidance : Guidance
    height, width : int
        Of the latent pictures, in cells of 8 pixels; odd sizes are padded.
    sigmas : sequence of float
        The noise levels that will be visited, for which modulations are computed together; others cost more.
    level_at : callable
        The noise level at a part of the sampling.
    always_negative : bool
        Evaluate the negative even at scale 1, for samplers that use it by itself.

    Attributes
    ----------
    negative : mx.array or None
        D of the negative at the last evaluation.
    """

    def __init__(
        self,
        transformer: FluxTransformer,
        guidance: Guidance,
        height: int,
        width: int,
        sigmas: Sequence[float],
        level_at: Levels,
        always_negative: bool = False,
    ) -> None:
        self._guidance = guidance
        self.negative: mx.array | None = None
        wanted = guidance.needs_negative or (always_negative and bool(guidance.negative))
        positive = place(guidance.positive, height, width)
        middle = place(guidance.middle, height, width)
        negative = place(guidance.negative, height, width) if wanted or middle else []
        negative_too = [*middle, *positive]
        self._positive = _Mixture(
            transformer, with_same_areas(positive, negative), (height, width), sigmas, level_at
        )
        self._middle = _Mixture(transformer, middle, (height, width), sigmas, level_at) if middle else None
        self._negative = (
            _Mixture(transformer, with_same_areas(negative, negative_too), (height, width), sigmas, level_at)
            if negative
            else None
        )

    def denoised(self, x: mx.array, sigma: float) -> mx.array:
        """D, shape and dtype of x (B, height, width, 16) float32."""
        guidance = self._guidance
        positive = self._positive.denoised(x, sigma)
        if self._negative is None:
            return positive
        negative = self.negative = self._negative.denoised(x, sigma)
        if self._middle is not None:
            middle = self._middle.denoised(x, sigma)
            return dual(positive, middle, negative, guidance.scale, guidance.middle_scale, guidance.nested)
        if not guidance.rescale:
            return negative + guidance.scale * (positive - negative)
        return rescaled(positive, negative, guidance.scale, guidance.rescale)


def dual(
    positive: mx.array, middle: mx.array, negative: mx.array, scale: float, middle_scale: float, nested: bool
) -> mx.array:
    """Guidance by two conditions (InstructPix2Pix, arXiv 2211.09800, 3.2).

    Regular: negative + middle_scale * (middle - negative) + scale * (positive - middle). Nested: the first
    condition is guided by the second, and the result by the negative.
    """
    if nested:
        first = middle + scale * (positive - middle)
        return negative + middle_scale * (first - negative)
    return negative + middle_scale * (middle - negative) + scale * (positive - middle)


def rescaled(positive: mx.array, negative: mx.array, scale: float, share: float) -> mx.array:
    """Guidance whose spread is set back, in part, to the positive prediction's (arXiv 2305.08891, 3.4).

    Of D itself, as ComfyUI's RescaleCFG does it for flows.
    """
    guided = negative + scale * (positive - negative)
    matched = guided * (_spread(positive) / _spread(guided))
    return share * matched + (1 - share) * guided


def _spread(x: mx.array) -> mx.array:
    return mx.std(x, axis=(1, 2, 3), keepdims=True, ddof=1)


class _Mixture:
    """The weighted average of the predictions of one list of entries."""

    def __init__(
        self,
        transformer: FluxTransformer,
        entries: Sequence[Placed],
        size: tuple[int, int],
        sigmas: Sequence[float],
        level_at: Levels,
    ) -> None:
        self._parts = [_Part(transformer, each, size, sigmas, level_at) for each in entries]
        self._is_plain = len(self._parts) == 1 and self._parts[0].is_plain

    def denoised(self, x: mx.array, sigma: float) -> mx.array:
        if self._is_plain:
            return self._parts[0].predict(x, sigma)
        total, weight = mx.zeros_like(x), mx.full(x.shape, _TINY, x.dtype)
        for part in self._parts:
            if part.holds_at(sigma):
                total, weight = part.add(total, weight, x, sigma)
        return total / weight


class _Part:
    """One entry at its place, with what is the same at every step."""

    def __init__(
        self,
        transformer: FluxTransformer,
        placed: Placed,
        size: tuple[int, int],
        sigmas: Sequence[float],
        level_at: Levels,
    ) -> None:
        entry = placed.entry
        self._transformer = transformer
        self._box = placed.box or Box(*size, 0, 0)
        weights = placed.weights(*size)
        self._weights = weights if isinstance(weights, float | int) else mx.array(weights)
        # In float32, as the levels that are visited: an end that is one of them belongs to the part.
        self._from = float(np.float32(level_at(entry.start))) if entry.start > 0 else None
        self._until = float(np.float32(level_at(entry.end))) if entry.end < 1 else None
        self.is_plain = (
            (placed.box is None and self._weights == 1.0 if isinstance(self._weights, float | int) else False)
            and self._from is None
            and self._until is None
        )
        self._references = [_even(each) for each in entry.reference_latents]
        self._prepared = self._prepare(entry)
        self._modulations = transformer.modulations(self._prepared, sigmas)

    def holds_at(self, sigma: float) -> bool:
        """Whether the entry is in force at a noise level; both ends belong to its part of the sampling."""
        return (self._from is None or sigma <= self._from) and (self._until is None or sigma >= self._until)

    def add(self, total: mx.array, weight: mx.array, x: mx.array, sigma: float) -> tuple[mx.array, mx.array]:
        box = self._box
        rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
        prediction = self.predict(x[:, rows, columns], sigma)
        total[:, rows, columns] += prediction * self._weights
        weight[:, rows, columns] += mx.ones_like(prediction) * self._weights
        return total, weight

    def predict(self, x: mx.array, sigma: float) -> mx.array:
        """D of the cells of the box. Where a batch would take too much memory, in several passes."""
        batch, at_once = x.shape[0], self._pictures_at_once(x.shape[0])
        if batch <= at_once:
            return self._predict(x, sigma)
        found = []
        for first in range(0, batch, at_once):
            found.append(self._predict(x[first : first + at_once], sigma))
            mx.eval(found[-1])  # one after the other
        return mx.concatenate(found)

    def _pictures_at_once(self, batch: int) -> int:
        """How many pictures go into one pass: the same whenever a sampling on this machine is resumed."""
        text, tokens = self._prepared.text, self._prepared.cos.shape[0]
        room = int(SHARE_OF_MEMORY * machine_memory())
        return pictures_at_once(batch, room, tokens, text.shape[2], text.dtype.size)

    def _predict(self, x: mx.array, sigma: float) -> mx.array:
        batch, height, width, _ = x.shape
        padded = _even(x)
        tokens = pack(padded)
        own = tokens.shape[1]
        if self._references:
            seen = [mx.broadcast_to(pack(each), (batch, *pack(each).shape[1:])) for each in self._references]
            tokens = mx.concatenate([tokens, *seen], axis=1)
        velocity = self._transformer.step(tokens, self._modulations.at(sigma), self._prepared)[:, :own]
        cells = unpack(velocity, padded.shape[2] * 8, padded.shape[1] * 8)[:, :height, :width]
        return x - sigma * cells.astype(x.dtype)

    def _prepare(self, entry: Entry) -> Prepared:
        guidance = DEFAULT_GUIDANCE if entry.guidance is None else entry.guidance
        height, width = -(-self._box.height // 2), -(-self._box.width // 2)
        sizes = [(each.shape[1] // 2, each.shape[2] // 2) for each in self._references]
        image = image_positions((height, width), sizes)
        bias = None
        if entry.attention_bias is not None:
            bias = _widened(entry.attention_bias, image.shape[0])
        return self._transformer.prepare_at(
            entry.tokens, entry.pooled, guidance if entry.is_guided else None, image, bias
        )


def _even(x: mx.array) -> mx.array:
    """Latents (B, h, w, C) padded to even sides by their own first row and column."""
    if x.shape[1] % 2:
        x = mx.concatenate([x, x[:, :1]], axis=1)
    if x.shape[2] % 2:
        x = mx.concatenate([x, x[:, :, :1]], axis=2)
    return x


def _widened(bias: np.ndarray, image_tokens: int) -> mx.array:
    """A bias (1, N + 1, N + 1) whose last row and column stand for all image tokens, with each of them."""
    index = np.concatenate([np.arange(bias.shape[1] - 1), np.full(image_tokens, bias.shape[1] - 1)])
    return mx.array(bias.astype(np.float32)[:, index][:, :, index][:, None])
