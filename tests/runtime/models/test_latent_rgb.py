"""Previews: latents in colours without the autoencoder."""

import pickle
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from run_graph import load_workflow, run
from run_graph.runtime.events import Event, NodeProgress
from run_graph.runtime.models.latent_rgb import latent_rgb_of
from run_graph.runtime.models.resolution import resolve_flux
from run_graph.runtime.networks.latent_rgb import FLUX_RGB, LatentPicture

WORKFLOW = Path(__file__).parents[3] / "workflows" / "text_to_image.json"


def test_zero_is_the_bias_and_colours_stay_in_range() -> None:
    [[[pixel]]] = FLUX_RGB.pictures(np.zeros((1, 1, 1, 16)))
    np.testing.assert_array_equal(pixel, [int((bias + 1) * 127.5) for bias in FLUX_RGB.bias])
    for extreme in (1000.0, -1000.0):
        assert set(np.unique(FLUX_RGB.pictures(np.full((1, 2, 3, 16), extreme)))) <= {0, 255}


def test_tiny_has_its_own_map_in_every_name_and_others_have_flux_s(tmp_path: Path) -> None:
    tiny = latent_rgb_of(resolve_flux("tiny"))
    assert latent_rgb_of(resolve_flux("tiny-schnell")) is tiny
    assert latent_rgb_of(resolve_flux("schnell")) is FLUX_RGB
    assert tiny is not FLUX_RGB


def test_steps_show_what_the_decoder_makes_of_the_last() -> None:
    pictures: list[Any] = []

    def on_event(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.picture is not None:
            pictures.append(event.picture())

    result = run(load_workflow(WORKFLOW), targets=["image"], on_event=on_event, cache=False)
    decoded: Any = result.outputs("image")
    squares = decoded.image.pixels[0].reshape(12, 8, 12, 8, 3).mean(axis=(1, 3)) * 255
    errors = [float(np.sqrt(np.mean((picture[0] - squares) ** 2))) for picture in pictures]
    assert len(pictures) == 8
    assert pictures[0].shape == (1, 12, 12, 3)
    assert errors[-1] < 25  # of 255
    assert errors[-1] < errors[0]


def test_a_picture_travels_between_processes() -> None:
    picture = LatentPicture(FLUX_RGB, mx.arange(64, dtype=mx.float32).reshape(1, 2, 2, 16) / 64)
    again = pickle.loads(pickle.dumps(picture))
    np.testing.assert_array_equal(again(), picture())
