"""Compose training pictures: domain pictures, other icons, and photo-like colour fields.

All pictures are (n, 96, 96, 3) float32 in [0, 1].
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.domain import BACKGROUNDS, NOUNS, STYLES, Subject
from training.icons import SIDE, Rgba, load_icons

Pictures = NDArray[np.float32]

FRAME = 6  # Width in pixels of the border that no icon reaches.

_NOUN_INDEX = {noun: index for index, noun in enumerate(NOUNS)}
_STYLE_INDEX = {style: index for index, style in enumerate(STYLES)}


def over(icons: Rgba, backgrounds: NDArray[Any]) -> Pictures:
    """Icons (n, h, w, 4) uint8 over `backgrounds`, broadcast to (n, h, w, 3), float in [0, 1]."""
    colour = icons[..., :3].astype(np.float32) / 255
    alpha = icons[..., 3:].astype(np.float32) / 255
    return (colour * alpha + backgrounds * (1 - alpha)).astype(np.float32)


def eight_bit(pictures: Pictures) -> NDArray[np.uint8]:
    """Values in [0, 1] -> 0..255, rounded."""
    return np.round(pictures * 255).astype(np.uint8)


def background(name: str) -> Pictures:
    """The colour of a background of the domain, (3,) in [0, 1]."""
    return np.float32(BACKGROUNDS[name]) / 255


def frame(picture: Pictures) -> Pictures:
    """The mean colour of a picture's border, which no icon reaches, (3,)."""
    inside = np.zeros(picture.shape[:2], bool)
    inside[FRAME:-FRAME, FRAME:-FRAME] = True
    return np.asarray(picture[~inside].mean(axis=0))


def background_shift(picture: Pictures, asked: str, shown: str) -> float:
    """How far the frame's colour has moved from the background `asked` (0) to the one `shown` (1)."""
    start, way = background(asked), background(shown) - background(asked)
    return float(np.dot(frame(picture) - start, way) / np.dot(way, way))


class PictureMaker:
    """Draws pictures from the rendered icons with its own random stream."""

    def __init__(self, seed: int) -> None:
        self.domain, self.others = load_icons()
        self.random = np.random.default_rng(seed)

    def subject(self, subject: Subject) -> Pictures:
        """The domain's picture of a subject, (96, 96, 3)."""
        icon = self.domain[_NOUN_INDEX[subject.noun], _STYLE_INDEX[subject.style]]
        return over(icon, background(subject.background))

    def subjects(self, chosen: Iterable[Subject]) -> Pictures:
        """The domain's pictures of several subjects, (n, 96, 96, 3)."""
        return np.stack([self.subject(subject) for subject in chosen])

    def domain_icons(self, count: int) -> Rgba:
        """Random icons of the domain."""
        rows = self.random.integers(len(NOUNS), size=count)
        return np.asarray(self.domain[rows, self.random.integers(len(STYLES), size=count)])

    def other_icons(self, count: int) -> Rgba:
        """Random icons outside the domain."""
        rows = self.random.integers(len(self.others), size=count)
        return np.asarray(self.others[rows, self.random.integers(len(STYLES), size=count)])

    def palette(self, count: int) -> Pictures:
        """Flat backgrounds of the domain, (count, 1, 1, 3)."""
        colours = np.float32(list(BACKGROUNDS.values())) / 255
        return colours[self.random.integers(len(colours), size=count)][:, None, None]

    def flat(self, count: int) -> Pictures:
        """Flat backgrounds of any colour, (count, 1, 1, 3)."""
        return self.random.random((count, 1, 1, 3), dtype=np.float32)

    def fields(self, count: int) -> Pictures:
        """Soft colour fields like those in a blurred photo: gradients, horizons and blobs."""
        grid = int(self.random.integers(2, 6))
        coarse = self.random.random((count, grid, grid, 3), dtype=np.float32)
        fields = _stretch(coarse)
        # Half of them have a horizon: two fields with an edge between them.
        y = np.linspace(0, 1, SIDE, dtype=np.float32)[None, :, None, None]
        horizon = self.random.uniform(0.3, 0.8, (count, 1, 1, 1)).astype(np.float32)
        edge = np.clip((y - horizon) * 20 + 0.5, 0, 1)
        lower = self.flat(count) * (0.6 + 0.4 * y)
        has_edge = self.random.random((count, 1, 1, 1)) < 0.5
        fields = np.where(has_edge, fields * (1 - edge) + lower * edge, fields)
        return np.asarray(self._with_discs(fields), dtype=np.float32)

    def _with_discs(self, fields: Pictures) -> Pictures:
        """Add a disc of another colour to some of them, like a sun, a face or a fruit."""
        count = len(fields)
        centre = self.random.uniform(0.2, 0.8, (2, count, 1, 1, 1)).astype(np.float32)
        radius = self.random.uniform(0.05, 0.35, (count, 1, 1, 1)).astype(np.float32)
        radius *= self.random.random((count, 1, 1, 1)) < 0.6
        axis = np.linspace(0, 1, SIDE, dtype=np.float32)
        y, x = axis[None, :, None, None], axis[None, None, :, None]
        distance = np.hypot(y - centre[0], x - centre[1])
        inside = np.clip((radius - distance) * 40 + 0.5, 0, 1) * (radius > 0)
        return fields * (1 - inside) + self.flat(count) * inside

    def mixture(self, count: int) -> Pictures:
        """The autoencoder's training pictures: mostly from the domain, with a large share of others."""
        kind = self.random.choice(4, size=count, p=[0.65, 0.15, 0.1, 0.1])
        icons = np.where((kind <= 1)[:, None, None, None], self.domain_icons(count), self.other_icons(count))
        fields = self.fields(count)
        plain = np.broadcast_to(self.flat(count), fields.shape)
        palette = np.broadcast_to(self.palette(count), fields.shape)
        on_field = self.random.random((count, 1, 1, 1)) < 0.3
        backgrounds = np.where((kind == 0)[:, None, None, None], palette, np.where(on_field, fields, plain))
        pictures = over(icons, backgrounds)
        return np.where((kind == 3)[:, None, None, None], fields, pictures).astype(np.float32)


def _stretch(coarse: Pictures) -> Pictures:
    """(n, g, g, c) -> (n, 96, 96, c), bilinear."""
    position = np.linspace(0, coarse.shape[1] - 1, SIDE)
    low = np.minimum(position.astype(int), coarse.shape[1] - 2)
    weight = (position - low).astype(np.float32)
    matrix = np.zeros((SIDE, coarse.shape[1]), np.float32)
    matrix[np.arange(SIDE), low] = 1 - weight
    matrix[np.arange(SIDE), low + 1] = weight
    return np.einsum("yi,nijc,xj->nyxc", matrix, coarse, matrix, optimize=True)
