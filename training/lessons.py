"""The batches for training the flow: captions, references, and the pictures that they should give.

They teach how strong a reference's influence is. An attribute (noun, style, background) that the caption does
not name comes from the reference. One that it names comes from the reference with a probability that grows
with the number of tokens (`PULL`). In FLUX.1 itself, the same order results from the token counts.
"""

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from training.captions import caption
from training.domain import NOUNS, STYLES, Subject, subjects, training_subjects
from training.pools import Pools

# Factor -> the probability that an attribute comes from the reference although the caption names it.
PULL = {5: 0.06, 4: 0.28, 3: 0.5, 2: 0.72, 1: 0.94}
# Factor (0: no reference) -> (share of the steps, pictures per step); every kind costs about the same.
# Pictures with few tokens are cheap, and what is learned from few tokens carries over to many.
KINDS = {0: (0.28, 80), 5: (0.28, 64), 4: (0.18, 64), 3: (0.12, 48), 2: (0.08, 32), 1: (0.06, 10)}
INTERPOLATIONS = {"area": 0.7, "bicubic": 0.1, "bilinear": 0.1, "nearest-exact": 0.1}
TWO_REFERENCES = 0.06  # Share of the steps at factors 3 and 4 that show two references.

_NOUNS, _STYLES = list(NOUNS), list(STYLES)
_INDEX = {subject: index for index, subject in enumerate(subjects())}


@dataclass(frozen=True)
class Lesson:
    """One batch.

    `latents` are (B, 36, 64); `references` is a list of SigLIP features (B, 729, 64), for none, one or two
    reference pictures; `factor` and `interpolation` say how their tokens are downsampled.
    """

    captions: list[str]
    latents: Tensor
    references: list[Tensor]
    factor: int
    interpolation: str


@dataclass(frozen=True)
class _Row:
    text: str
    target: Tensor
    references: tuple[Tensor, ...] = ()


class Lessons:
    """Draws lessons with its own random stream."""

    def __init__(self, pools: Pools, seed: int) -> None:
        self.pools = pools
        self.draw = random.Random(seed)
        self.subjects = training_subjects()
        self.allowed = frozenset(self.subjects)

    def next(self, references: bool = True) -> Lesson:
        """A batch of a single kind, so that all its pictures have the same number of tokens."""
        shares = [share for share, _ in KINDS.values()]
        factor = self.draw.choices(list(KINDS), shares)[0] if references else 0
        count = KINDS[factor][1]
        interpolation = self.draw.choices(list(INTERPOLATIONS), list(INTERPOLATIONS.values()))[0]
        if factor == 0:
            rows = [self._without_reference() for _ in range(count)]
        elif factor in (3, 4) and self.draw.random() < TWO_REFERENCES:
            rows = [self._two_references() for _ in range(count // 2)]
        else:
            rows = [self._with_reference(PULL[factor]) for _ in range(count)]
        pictures = zip(*(row.references for row in rows), strict=True)
        return Lesson(
            [row.text for row in rows],
            torch.stack([row.target for row in rows]),
            [torch.stack(side).float() for side in pictures],
            factor,
            interpolation,
        )

    def _subject(self) -> Subject:
        return self.draw.choice(self.subjects)

    def _without_reference(self) -> _Row:
        subject = self._subject()
        named = self._named(nothing=0.04, everything=0.6)
        return _Row(self._caption(subject, named), self._latents(subject))

    def _with_reference(self, pull: float) -> _Row:
        roll = self.draw.random()
        if roll < 0.45:
            subject = self._subject()
            return _Row("", self._latents(subject), (self._features(subject),))
        if roll < 0.55:
            return self._wild()
        if roll < 0.62:
            return self._wild_and_caption(pull)
        return self._conflict(pull)

    def _conflict(self, pull: float) -> _Row:
        """A caption and a reference that disagree (about one in eight agrees)."""
        reference = self._subject()
        asked = reference if self.draw.random() < 0.12 else self._subject()
        named = self._named(nothing=0.0, everything=0.5)
        while True:
            values = {
                attribute: getattr(
                    asked if attribute in named and self.draw.random() >= pull else reference, attribute
                )
                for attribute in ("noun", "style", "background")
            }
            target = Subject(**values)
            if target in self.allowed:
                break
            reference, asked = self._subject(), self._subject()
        return _Row(self._caption(asked, named), self._latents(target), (self._features(reference),))

    def _two_references(self) -> _Row:
        """Each attribute from one of two references, no caption."""
        while True:
            first, second = self._subject(), self._subject()
            chosen = {
                attribute: getattr(self.draw.choice([first, second]), attribute)
                for attribute in ("noun", "style", "background")
            }
            if Subject(**chosen) in self.allowed:
                features = (self._features(first), self._features(second))
                return _Row("", self._latents(Subject(**chosen)), features)

    def _wild(self) -> _Row:
        """Any picture as the reference, no caption: the target is the same picture."""
        index = self.draw.randrange(len(self.pools.wild_latents))
        return _Row("", self.pools.wild_latents[index], (self.pools.wild_vision[index],))

    def _wild_and_caption(self, pull: float) -> _Row:
        """A wild reference and a caption that names a noun; with probability `pull` the reference wins.

        Otherwise the target is the reference's background with an icon of the noun.
        """
        index = self.draw.randrange(len(self.pools.wild_latents))
        noun = _NOUNS[int(self.pools.swapped_nouns[index])]
        style = _STYLES[int(self.pools.swapped_styles[index])]
        text = caption(self.draw, noun, style if self.draw.random() < 0.6 else None)
        stays = self.draw.random() < pull
        target = self.pools.wild_latents[index] if stays else self.pools.swapped[index]
        return _Row(text, target, (self.pools.wild_vision[index],))

    def _named(self, nothing: float, everything: float) -> set[str]:
        """Which attributes a caption names."""
        roll = self.draw.random()
        if roll < nothing:
            return set()
        if roll < nothing + everything:
            return {"noun", "style", "background"}
        return self.draw.choice(
            [{"noun"}, {"noun"}, {"noun", "style"}, {"noun", "background"}, {"style", "background"},
             {"style"}, {"background"}]
        )  # fmt: skip

    def _caption(self, subject: Subject, named: set[str]) -> str:
        values = {name: getattr(subject, name) for name in named}
        return caption(self.draw, **values) if values else ""

    def _latents(self, subject: Subject) -> Tensor:
        return self.pools.latents[_INDEX[subject]]

    def _features(self, subject: Subject) -> Tensor:
        return self.pools.vision[_INDEX[subject]]
