"""T5 and CLIP against transformers."""

import mlx.core as mx
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity oracle: transformers' text encoders run on torch")

from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel  # noqa: E402
from transformers.models.t5.modeling_t5 import T5Attention  # noqa: E402

from run_graph.runtime.networks import clip, t5  # noqa: E402


def ids(batch: int, length: int, vocabulary: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, vocabulary, (batch, length))


@pytest.mark.parametrize("length", [1, 7, 200])
def test_t5_equals_transformers(length, randomise, load, agree):
    config = T5Config(
        d_model=96, d_kv=24, num_heads=6, d_ff=160, num_layers=3, vocab_size=64,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False,
    )  # fmt: skip
    reference = randomise(T5EncoderModel(config))
    module, loaded_config = load("t5_encoder", reference)
    tokens = ids(2, length, 64)
    with torch.no_grad():
        expected = reference(torch.from_numpy(tokens)).last_hidden_state
    agree(t5.encode(module, loaded_config, mx.array(tokens)), expected)


def test_t5_buckets_every_distance_as_transformers_does():
    distance = np.arange(-600, 601)
    expected = T5Attention._relative_position_bucket(torch.from_numpy(distance)).numpy()
    np.testing.assert_array_equal(t5.relative_buckets(distance, 32, 128), expected)


@pytest.fixture
def clip_config():
    return {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
        "vocab_size": 50, "max_position_embeddings": 77, "bos_token_id": 48, "pad_token_id": 49,
    }  # fmt: skip


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("end_token", [2, 49, 30], ids=["legacy", "highest", "not-highest"])
def test_clip_equals_transformers(activation, end_token, clip_config, randomise, load, agree):
    config = CLIPTextConfig(**clip_config, hidden_act=activation, eos_token_id=end_token)
    reference = randomise(CLIPTextModel(config))
    module, loaded_config = load("clip_encoder", reference)
    tokens = ids(3, 77, 48)
    tokens[tokens == end_token] = 1
    end = 49 if end_token == 2 else end_token
    for row, position in enumerate([1, 20, 76]):
        tokens[row, position:] = end
    with torch.no_grad():
        expected = reference(torch.from_numpy(tokens)).pooler_output
    agree(clip.pooled(module, loaded_config, mx.array(tokens)), expected)


def test_clip_pools_at_the_first_of_several_end_tokens():
    tokens = mx.array([[48, 5, 49, 49, 49], [48, 49, 49, 49, 49]])
    assert clip.end_positions(tokens, clip.LEGACY_END_TOKEN).tolist() == [2, 1]
    assert clip.end_positions(tokens, 49).tolist() == [2, 1]
    assert clip.end_positions(tokens, 5).tolist() == [1, 0]
