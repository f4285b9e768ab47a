"""What the command computes against mflux's own Redux: pictures' preparation, tokens and noise.

SigLIP has its published width here, because mflux fixes it in its forward pass; one layer of it, and a
narrow text width, keep the test small. Weights are random and the same for both.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mflux.models.flux.latent_creator.flux_latent_creator import FluxLatentCreator
from mflux.models.flux.variants.redux.redux_util import ReduxUtil
from mflux.utils.image_util import ImageUtil
from mflux_oracle import mflux_module
from small import SMALL, WORKFLOWS

from run_graph.graph.registry import installed_nodes
from run_graph.runtime.cli.mflux.arguments import parse
from run_graph.runtime.cli.mflux.invocation import invocation_of
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.session import Session
from run_graph.runtime.images.reading import read
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import REDUX_COMPONENTS
from run_graph.runtime.models.loading import load_component
from run_graph.runtime.networks.vision_input import siglip_pixels
from run_graph.runtime.sampling.noise import initial_noise
from run_graph.runtime.values import Conditioning
from training.layout.make import make_checkpoint

PHOTOS = [str(WORKFLOWS / "images" / name) for name in ("sunset.png", "teapot.png")]


@pytest.fixture(scope="module")
def published_siglip(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A checkpoint whose SigLIP is as wide as so400m-patch14-384, but for its feed-forward layers."""
    spec = replace(SMALL, siglip_width=1152, siglip_heads=16, siglip_hidden=64, siglip_layers=1)
    folder = tmp_path_factory.mktemp("parity") / "model"
    make_checkpoint(folder, spec)
    return Checkpoint(str(folder), folder=folder)


@pytest.fixture(scope="module")
def mflux_modules(published_siglip: Checkpoint) -> tuple[Any, Any]:
    """mflux's own modules on the same weights, to be called as mflux calls them."""
    encoder, embedder = (
        mflux_module(component, load_component(published_siglip, component).module)
        for component in REDUX_COMPONENTS
    )
    encoder.head = lambda hidden: None  # the pooling head, whose output Redux does not use
    hidden = once(encoder)
    return hidden, embedder


def once(encoder: Any) -> Callable[[mx.array], Any]:
    """The encoder, which computes the same picture only once."""
    seen: dict[bytes, Any] = {}

    def call(pixels: mx.array) -> Any:
        key = np.array(pixels).tobytes()
        if key not in seen:
            seen[key] = encoder(pixels)
            mx.eval(seen[key][0])
        return seen[key]

    return call


@pytest.fixture(scope="module")
def session() -> Session:
    """One for all, so that SigLIP sees the picture only once."""
    return Session(installed_nodes())


def conditioning(session: Session, checkpoint: Checkpoint, *argv: str) -> Conditioning:
    """The conditioning that the command's graph hands to the sampler."""
    made = invocation_of(parse(["--prompt", "", "--model", checkpoint.name, *argv]))
    link = made.workflow.nodes["sample"].inputs["conditioning"]
    folder = Path(checkpoint.name)
    result = session.run(made.workflow, targets=[link.node_id], environment=RunEnvironment([folder], folder))
    value: Conditioning = next(iter(vars(result.outputs(link.node_id)).values()))
    return value


@pytest.mark.parametrize("photo", PHOTOS)
def test_the_reference_picture_is_prepared_as_mflux_prepares_it(photo: str) -> None:
    theirs = np.array(ImageUtil.preprocess_for_model(ImageUtil.load_image(photo).convert("RGB")))
    ours = siglip_pixels(read(Path(photo))[0], 384, "stretch", "lanczos")
    assert theirs.shape == (1, 3, 384, 384)
    np.testing.assert_array_equal(ours.transpose(0, 3, 1, 2), theirs.astype(np.float32))
    other = siglip_pixels(read(Path(photo))[0], 384, "stretch", "bicubic")
    assert np.abs(other - ours).max() > 0.02  # the comparison could fail


@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_mode_highest_gives_the_tokens_of_mflux_s_plain_redux(
    session: Session, published_siglip: Checkpoint, mflux_modules: tuple[Any, Any], strength: float
) -> None:
    (theirs,) = map(np.array, ReduxUtil.embed_images([Path(PHOTOS[1])], *mflux_modules, [strength]))
    assert theirs.shape == (1, 729, SMALL.t5_width)
    flags = ("--redux-mode", "highest", "--redux-image-strengths", str(strength))
    ours = conditioning(session, published_siglip, *flags, "--redux-image-paths", PHOTOS[1])
    prompt_alone = conditioning(session, published_siglip)
    length = prompt_alone.only.tokens.shape[1]
    assert ours.only.tokens.shape == (1, length + 729, SMALL.t5_width)
    np.testing.assert_array_equal(np.array(ours.only.tokens[:, :length]), np.array(prompt_alone.only.tokens))
    np.testing.assert_array_equal(np.array(ours.only.pooled), np.array(prompt_alone.only.pooled))
    assert np.abs(np.array(ours.only.tokens[:, length:]) - theirs).max() < 1e-5 * np.abs(theirs).max()


@pytest.mark.parametrize(("seed", "width", "height"), [(0, 1024, 1024), (42, 512, 768), (2**32 + 1, 64, 16)])
def test_a_seed_s_noise_is_mflux_s(seed: int, width: int, height: int) -> None:
    theirs = FluxLatentCreator.create_noise(seed=seed, height=height, width=width)
    assert mx.array_equal(initial_noise(seed, width, height), theirs)
