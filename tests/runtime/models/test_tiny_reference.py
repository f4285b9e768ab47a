"""The reference libraries read the small checkpoint: every tensor is there, and none too many."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="reads the checkpoint with diffusers and transformers")
diffusers = pytest.importorskip("diffusers", reason="reads the checkpoint with diffusers")
transformers = pytest.importorskip("transformers", reason="reads the checkpoint with transformers")


def redux_class() -> Any:
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder

    return ReduxImageEncoder


READERS = {
    "transformer": lambda: diffusers.FluxTransformer2DModel,
    "vae": lambda: diffusers.AutoencoderKL,
    "text_encoder": lambda: transformers.CLIPTextModel,
    "text_encoder_2": lambda: transformers.T5EncoderModel,
    "image_encoder": lambda: transformers.SiglipVisionModel,
    "image_embedder": redux_class,
}


@pytest.mark.parametrize("part", READERS)
def test_every_tensor_has_the_name_and_shape_that_the_reference_expects(
    small_folder: Path, part: str
) -> None:
    _, report = READERS[part]().from_pretrained(small_folder / part, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]


def test_the_scheduler_is_the_one_of_flux_dev(small_folder: Path) -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(small_folder / "scheduler")
    assert scheduler.config.use_dynamic_shifting
    assert (scheduler.config.base_shift, scheduler.config.max_shift) == (0.5, 1.15)
