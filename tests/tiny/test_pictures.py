"""What the shipped model draws: the golden pictures, and that prompt and reference have their say."""

import mlx.core as mx
import numpy as np
import pytest
from pictures import GOLDEN, MODES, Painter, read
from small import WORKFLOWS

from run_graph.runtime.device import compute_dtype
from training.domain import BACKGROUNDS
from training.pictures import background as background_colour
from training.pictures import background_shift, frame

# Mean absolute difference, of 255. float32 rounding moves nothing; bfloat16 moves edges.
TOLERANCE = 1.0 if compute_dtype() == mx.float32 else 12.0

# Reference, its background; prompt, its background: pairs that disagree in everything.
CONFLICTS = [
    ("images/fox.png", "green", "car, flat style, on a purple background", "purple"),
    ("images/strawberry.png", "pink", "robot, line style, on a blue background", "blue"),
    ("images/rocket.png", "purple", "owl, shaded style, on a yellow background", "yellow"),
    ("images/castle.png", "yellow", "apple, flat style, on a white background", "white"),
]


@pytest.mark.parametrize("mode", MODES)
def test_the_shipped_workflow_draws_its_golden_picture(painter: Painter, mode: str) -> None:
    drawn = painter.draw("redux", {"smaller.mode": mode})
    assert np.abs(drawn - read(GOLDEN / f"{mode}.png")).mean() * 255 <= TOLERANCE


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_the_background_is_the_one_that_the_prompt_names(painter: Painter, background: str) -> None:
    drawn = painter.draw(
        "text_to_image", {"prompt.prompt": f"star, flat style, on a {background} background"}
    )
    distances = {name: np.abs(frame(drawn) - background_colour(name)).max() for name in BACKGROUNDS}
    assert min(distances, key=distances.__getitem__) == background


def test_a_reference_pulls_harder_from_mode_to_mode(painter: Painter) -> None:
    """Over four conflicts and two seeds: how far the background goes over to the reference's."""
    shifts = {
        mode: [shift(painter, mode, seed, *conflict) for conflict in CONFLICTS for seed in (1, 2)]
        for mode in MODES
    }
    means = [float(np.mean(shifts[mode])) for mode in MODES]
    assert means == sorted(means)
    assert means[0] < 0.35
    assert means[-1] > 0.65


def shift(
    painter: Painter, mode: str, seed: int, reference: str, shown: str, prompt: str, asked: str
) -> float:
    """0 where the background is the prompt's, 1 where it is the reference's."""
    inputs = {"photo.image": reference, "prompt.prompt": prompt, "smaller.mode": mode, "sample.seed": seed}
    return background_shift(painter.draw("redux", inputs), asked, shown)


def test_a_reference_alone_is_drawn_again_at_highest(painter: Painter) -> None:
    for name in ("fox", "strawberry"):
        drawn = painter.draw(
            "redux",
            {"photo.image": f"images/{name}.png", "prompt.prompt": "", "smaller.mode": "highest"},
        )
        assert np.abs(drawn - read(WORKFLOWS / "images" / f"{name}.png")).mean() < 0.12


def test_a_picture_from_outside_the_domain_gives_its_colours(painter: Painter) -> None:
    reference = "images/sunset.png"
    drawn = painter.draw("redux", {"photo.image": reference, "prompt.prompt": "", "smaller.mode": "highest"})
    pixels = read(WORKFLOWS / reference)
    left = (pixels.shape[1] - pixels.shape[0]) // 2
    cropped = pixels[:, left : left + pixels.shape[0]]
    assert np.abs(drawn.mean(axis=(0, 1)) - cropped.mean(axis=(0, 1))).max() < 0.15


@pytest.mark.parametrize("bits", [8, 4])
def test_it_still_draws_when_quantised(painter: Painter, bits: int) -> None:
    prompt = {"prompt.prompt": "apple, flat style, on a green background"}
    full = painter.draw("text_to_image", prompt)
    packed = painter.draw("text_to_image", {**prompt, "flux.quantize": bits})
    assert 0 < np.abs(packed - full).mean() < (0.02 if bits == 8 else 0.12)
