"""The shipped model reproduces the golden pictures and follows both the prompt and the reference."""

import mlx.core as mx
import numpy as np
import pytest
from pictures import GOLDEN, MODES, Painter, read
from small import WORKFLOWS

from run_graph.runtime.device import compute_dtype
from training.domain import BACKGROUNDS
from training.pictures import background as background_colour
from training.pictures import background_shift, frame

# Mean absolute difference on a scale of 0 to 255. float32 rounding changes nothing; bfloat16 moves edges.
TOLERANCE = 1.0 if compute_dtype() == mx.float32 else 12.0

# Reference, its background, prompt, its background: pairs that disagree in noun, style and background.
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


def test_each_mode_follows_the_reference_more_than_the_last(painter: Painter) -> None:
    """Over four conflicts and two seeds, the background moves towards the reference's."""
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
    """0 if the background is the prompt's, 1 if it is the reference's."""
    inputs = {"photo.image": reference, "prompt.prompt": prompt, "smaller.mode": mode, "sample.seed": seed}
    return background_shift(painter.draw("redux", inputs), asked, shown)


def test_a_reference_without_a_prompt_is_reproduced_at_highest(painter: Painter) -> None:
    for name in ("fox", "strawberry"):
        drawn = painter.draw(
            "redux",
            {"photo.image": f"images/{name}.png", "prompt.prompt": "", "smaller.mode": "highest"},
        )
        assert np.abs(drawn - read(WORKFLOWS / "images" / f"{name}.png")).mean() < 0.12


def test_a_reference_outside_the_domain_passes_on_its_colours(painter: Painter) -> None:
    reference = "images/sunset.png"
    drawn = painter.draw("redux", {"photo.image": reference, "prompt.prompt": "", "smaller.mode": "highest"})
    pixels = read(WORKFLOWS / reference)
    left = (pixels.shape[1] - pixels.shape[0]) // 2
    cropped = pixels[:, left : left + pixels.shape[0]]
    assert np.abs(drawn.mean(axis=(0, 1)) - cropped.mean(axis=(0, 1))).max() < 0.15


@pytest.mark.parametrize("bits", [8, 4])
def test_quantised_pictures_are_close_to_unquantised_ones(painter: Painter, bits: int) -> None:
    prompt = {"prompt.prompt": "apple, flat style, on a green background"}
    full = painter.draw("text_to_image", prompt)
    packed = painter.draw("text_to_image", {**prompt, "flux.quantize": bits})
    assert 0 < np.abs(packed - full).mean() < (0.02 if bits == 8 else 0.12)
