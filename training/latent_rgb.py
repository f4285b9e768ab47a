"""Fit the linear map of `tiny`'s latents to colours, which previews use: `python -m training.latent_rgb`.

Least squares between the latents of pictures of the domain and what the decoder makes of them, averaged over
8 x 8 pixels. Needs no PyTorch. Prints the root mean square error on other pictures, in steps of 1/255.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from run_graph import load_workflow, run
from run_graph.runtime.models.latent_rgb import TINY_RGB_FILE
from run_graph.runtime.networks.latent_rgb import LatentRgb
from run_graph.runtime.sampling.latents import to_model_scale
from training.captions import canonical
from training.domain import BACKGROUNDS, NOUNS, STYLES

WORKFLOW = Path(__file__).parents[1] / "workflows" / "text_to_image.json"
PIXELS = 8

Points = tuple[NDArray[np.float64], NDArray[np.float64]]


def points(seed: int) -> Points:
    """The latents (n, 16) and colours (n, 3), in [-1, 1], of one picture of every noun."""
    latents, colours = [], []
    styles, backgrounds = list(STYLES), list(BACKGROUNDS)
    for index, noun in enumerate(NOUNS):
        place = index + seed
        prompt = canonical(noun, styles[place % len(styles)], backgrounds[place % len(backgrounds)])
        workflow = load_workflow(WORKFLOW)
        for node_id, name, value in (("prompt", "prompt", prompt), ("sample", "seed", seed)):
            workflow = workflow.with_input(node_id, name, value)
        result = run(workflow, targets=["sample", "image"], cache=False)
        sampled: Any = result.outputs("sample")
        decoded: Any = result.outputs("image")
        latents.append(np.asarray(to_model_scale(sampled.latent.samples))[0].reshape(-1, 16))
        colours.append(_averaged(decoded.image.pixels[0]) * 2 - 1)
    return np.concatenate(latents).astype(np.float64), np.concatenate(colours).astype(np.float64)


def fit(latents: NDArray[np.float64], colours: NDArray[np.float64]) -> LatentRgb:
    """The map with the least squared error."""
    with_one = np.concatenate([latents, np.ones((len(latents), 1))], axis=1)
    solution = np.linalg.lstsq(with_one, colours, rcond=None)[0].round(4)
    return LatentRgb(solution[:-1].tolist(), solution[-1].tolist())


def _averaged(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width, _ = picture.shape
    squares = picture.reshape(height // PIXELS, PIXELS, width // PIXELS, PIXELS, 3)
    return np.asarray(squares.mean(axis=(1, 3)).reshape(-1, 3))


def main() -> None:
    """Fit, and write the file."""
    found = fit(*points(seed=1))
    latents, colours = points(seed=2)
    shown = found.pictures(latents.reshape(1, 1, -1, 16))[0, 0].astype(np.float64)
    error = np.sqrt(np.mean((shown - np.clip((colours + 1) * 127.5, 0, 255)) ** 2))
    print(f"root mean square error on other pictures: {error:.1f} of 255")
    TINY_RGB_FILE.write_text(json.dumps({"factors": found.factors, "bias": found.bias}) + "\n")


if __name__ == "__main__":
    main()
