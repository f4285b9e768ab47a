"""Captions of domain pictures: some attributes left out, varied wordings, and filler words to ignore."""

import random

from training.domain import BACKGROUNDS, NOUNS, STYLES
from training.layout.tokenizer_files import WORDS

_MEANINGFUL = {*NOUNS, *STYLES, *BACKGROUNDS, "background", "style"}
_FILLERS = [word for word in WORDS if word not in _MEANINGFUL]
_VOWELS = "aeiou"


def canonical(noun: str | None = None, style: str | None = None, background: str | None = None) -> str:
    """The caption in its standard wording; attributes that are None are not mentioned."""
    parts = [
        noun,
        style and f"{style} style",
        background and f"on a {background} background",
    ]
    return ", ".join(part for part in parts if part)


def caption(
    draw: random.Random, noun: str | None = None, style: str | None = None, background: str | None = None
) -> str:
    """The caption in one of many wordings; attributes that are None are not mentioned."""
    if draw.random() < 0.45:
        return canonical(noun, style, background)
    parts = []
    if noun:
        article = "an" if noun[0] in _VOWELS else "a"
        parts.append(
            draw.choice(
                [noun, f"{article} {noun}", f"the {noun}", f"picture of {article} {noun}", noun.title()]
            )
        )
    if style:
        parts.append(draw.choice([f"{style} style", style, f"in {style} style", f"{style} drawing"]))
    if background:
        parts.append(
            draw.choice([f"on a {background} background", f"{background} background", f"on {background}"])
        )
    if draw.random() < 0.2:
        fillers = draw.sample(_FILLERS, draw.randint(1, 3))
        parts.insert(draw.randint(0, len(parts)), " ".join(fillers))
    if draw.random() < 0.2:
        draw.shuffle(parts)
    return draw.choice([", ", ", ", " "]).join(parts)
