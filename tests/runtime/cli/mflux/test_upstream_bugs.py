"""Faults of mflux 0.24 that run-graph steps around. When one of these fails, its workaround can go."""

from pathlib import Path
from types import SimpleNamespace

import mlx.core as mx
import pytest
from mflux.callbacks.instances.memory_saver import MemorySaver
from mflux.models.common.tokenizer import TokenizerLoader
from mflux.models.flux.variants.redux.redux_util import ReduxUtil
from mflux.models.flux.weights.flux_weight_definition import FluxWeightDefinition
from small import WORKFLOWS

from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.tokenizers import CLIP_TOKENS, load_tokenizer, token_ids

PHOTO = WORKFLOWS / "images" / "sunset.png"


@pytest.mark.parametrize("kind", ["clip", "t5"])
def test_mflux_still_gives_no_tokens_for_an_empty_prompt(small_model: str, kind: str) -> None:
    """Stepped around in `runtime.models.tokenizers.token_ids`."""
    definition = next(each for each in FluxWeightDefinition.get_tokenizers() if each.name == kind)
    theirs = TokenizerLoader.load(definition, small_model)
    assert theirs.tokenize("", max_length=CLIP_TOKENS).input_ids.shape[-1] == 0
    ours = load_tokenizer(Checkpoint(small_model, folder=Path(small_model)), kind)  # type: ignore[arg-type]
    assert token_ids(ours, "", CLIP_TOKENS).shape == (1, CLIP_TOKENS)


def test_mflux_still_drops_the_picture_encoders_before_the_second_seed() -> None:
    """Stepped around by `runtime.models.store`: what leaves memory is read again when a stage needs it."""
    flux = SimpleNamespace(
        prompt_cache={"a mill": None},
        image_encoder=lambda pixels: (mx.zeros((1, 729, 1152)), None),
        image_embedder=lambda hidden: hidden,
    )
    saver = MemorySaver(model=flux, num_seeds=2, cache_limit_bytes=None)

    def embed() -> int:
        return len(ReduxUtil.embed_images([PHOTO], flux.image_encoder, flux.image_embedder))

    assert embed() == 1
    saver.call_before_loop(seed=1, prompt="a mill", latents=mx.zeros(1), config=None)
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        embed()
