"""What the tiny model draws: nouns, drawing styles, backgrounds, and the held-out combinations."""

import random
from dataclasses import dataclass
from itertools import product

# The word in a prompt -> the icon's name, the same in all three sets.
NOUNS = {
    "apple": "red-apple",
    "banana": "banana",
    "pear": "pear",
    "cherries": "cherries",
    "strawberry": "strawberry",
    "grapes": "grapes",
    "watermelon": "watermelon",
    "pineapple": "pineapple",
    "carrot": "carrot",
    "mushroom": "mushroom",
    "pizza": "pizza",
    "hamburger": "hamburger",
    "doughnut": "doughnut",
    "teapot": "teapot",
    "cat": "cat-face",
    "dog": "dog-face",
    "fox": "fox",
    "panda": "panda",
    "lion": "lion",
    "rabbit": "rabbit-face",
    "pig": "pig-face",
    "frog": "frog",
    "owl": "owl",
    "penguin": "penguin",
    "duck": "duck",
    "turtle": "turtle",
    "snail": "snail",
    "butterfly": "butterfly",
    "ladybug": "lady-beetle",
    "spider": "spider",
    "octopus": "octopus",
    "crab": "crab",
    "fish": "tropical-fish",
    "elephant": "elephant",
    "unicorn": "unicorn",
    "cactus": "cactus",
    "palm": "palm-tree",
    "pine": "evergreen-tree",
    "sunflower": "sunflower",
    "tulip": "tulip",
    "leaf": "maple-leaf",
    "sun": "sun",
    "moon": "crescent-moon",
    "star": "star",
    "cloud": "cloud",
    "rainbow": "rainbow",
    "snowman": "snowman",
    "fire": "fire",
    "volcano": "volcano",
    "house": "house",
    "castle": "castle",
    "car": "automobile",
    "bus": "bus",
    "bicycle": "bicycle",
    "airplane": "airplane",
    "rocket": "rocket",
    "sailboat": "sailboat",
    "guitar": "guitar",
    "umbrella": "umbrella",
    "crown": "crown",
    "balloon": "balloon",
    "robot": "robot",
    "ghost": "ghost",
    "heart": "red-heart",
}

# The word in a prompt -> the npm package with the artwork.
STYLES = {
    "shaded": "@iconify-json/noto",
    "flat": "@iconify-json/fluent-emoji-flat",
    "line": "@iconify-json/fluent-emoji-high-contrast",
}

# sRGB, 8 bit.
BACKGROUNDS = {
    "white": (255, 255, 255),
    "yellow": (255, 221, 110),
    "green": (140, 205, 130),
    "blue": (120, 170, 240),
    "pink": (250, 165, 190),
    "purple": (170, 130, 220),
}

HELD_OUT_SEED = 7
HELD_OUT_SHARE = 1 / 12


@dataclass(frozen=True, order=True)
class Subject:
    """One picture of the domain: a noun, drawn in a style, on a background."""

    noun: str
    style: str
    background: str


def subjects() -> list[Subject]:
    """Every combination, in a fixed order."""
    return [Subject(*combination) for combination in product(NOUNS, STYLES, BACKGROUNDS)]


def held_out() -> frozenset[Subject]:
    """The combinations that no training step ever sees, neither as target nor as reference.

    At most one background is held out for each noun and style, so that training sees each noun in each style.
    """
    draw = random.Random(HELD_OUT_SEED)
    pairs = sorted(product(NOUNS, STYLES))
    chosen = draw.sample(pairs, round(len(subjects()) * HELD_OUT_SHARE))
    return frozenset(Subject(noun, style, draw.choice(sorted(BACKGROUNDS))) for noun, style in chosen)


def training_subjects() -> list[Subject]:
    """Every combination except the held-out ones."""
    kept_out = held_out()
    return [subject for subject in subjects() if subject not in kept_out]
