"""TranslatePrompt, on a language model of two layers that the tests make."""

import contextlib
import importlib.util
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from engine import Engine, workflow

from run_graph.graph import Registry, WorkflowError, installed_nodes
from run_graph.graph.node import Node
from run_graph.nodes import TranslatePrompt
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.session import Session
from run_graph.runtime.events import ModelEvicted, ModelLoaded
from run_graph.runtime.models.translation import (
    LanguageModelError,
    Translator,
    find_language_model,
    language_model_identity,
)

pytest.importorskip("mlx_lm", reason="translating needs the optional package mlx-lm")

TEXT = "una casa sul mare"
WIDTH = 64


def make_language_model(folder: Path, seed: int = 0, chat: bool = False) -> Path:
    """A Llama of two layers with random weights and a byte-level vocabulary, as mlx-lm reads it."""
    import mlx.core as mx
    from mlx.utils import tree_flatten, tree_map
    from mlx_lm.models.llama import Model, ModelArgs
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
    if chat:
        fast.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}>"
    fast.save_pretrained(folder)

    config = {
        "model_type": "llama",
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "intermediate_size": 2 * WIDTH,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5,
        "vocab_size": len(vocabulary),
        "tie_word_embeddings": False,
        "eos_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    mx.random.seed(seed)
    model = Model(ModelArgs.from_dict(config))
    weights = tree_map(lambda weight: mx.random.normal(weight.shape) * 0.3, model.parameters())
    # Only printable characters may win, so that the answer is text.
    head = weights["lm_head"]["weight"]
    fit = mx.array([token.isascii() and token.isalnum() for token in vocabulary]).astype(mx.float32)
    weights["lm_head"]["weight"] = head * fit[:, None]
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(weights)))
    return folder


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_language_model(tmp_path_factory.mktemp("language_model"))


def greedy(folder: Path, question: str, count: int) -> str:
    """The likeliest token at each step, the whole text read again each time, without a cache."""
    import mlx.core as mx
    from mlx_lm import load

    model, tokenizer, *_ = load(str(folder))
    ids = tokenizer.encode(question)
    start = len(ids)
    for _ in range(count):
        ids.append(int(mx.argmax(model(mx.array([ids]))[0, -1]).item()))
        if ids[-1] == 0:
            break
    return str(tokenizer.decode(ids[start:])).strip()


def translate(bench: Any, model: Path, text: str = TEXT, **inputs: str) -> str:
    return str(bench.run(TranslatePrompt(text=text, model=str(model), **inputs)).text)


# -- what it answers --------------------------------------------------------------------------------


def test_the_likeliest_token_is_taken_at_each_step(bench: Any, language_model: Path) -> None:
    answer = translate(bench, language_model, source="Italian")
    question = (
        f"Translate this text from Italian into English. Answer with the translation only.\n\n{TEXT}\n\n"
    )
    assert len(answer) > 20
    assert greedy(language_model, question, 20) == answer[:20]


def test_the_same_text_is_always_translated_the_same_way(bench: Any, language_model: Path) -> None:
    assert translate(bench, language_model) == translate(bench, language_model)


@pytest.mark.parametrize("change", [{"text": "un gatto"}, {"source": "Italian"}, {"target": "French"}])
def test_text_and_languages_matter(bench: Any, language_model: Path, change: dict[str, str]) -> None:
    assert translate(bench, language_model, **change) != translate(bench, language_model)


def test_a_model_with_a_chat_format_is_asked_in_it(bench: Any, tmp_path: Path) -> None:
    folder = make_language_model(tmp_path, chat=True)
    question = f"<user>Translate this text into English. Answer with the translation only.\n\n{TEXT}>"
    assert translate(bench, folder)[:20] == greedy(folder, question, 20)


def test_an_empty_text_stays_empty_and_loads_nothing(bench: Any, language_model: Path) -> None:
    assert translate(bench, language_model, text="") == ""
    assert bench.events == []


def test_each_token_is_reported_and_lets_the_run_be_stopped(bench: Any, language_model: Path) -> None:
    from run_graph.runtime.errors import Cancelled

    translate(bench, language_model)
    assert [value for value, _ in bench.steps[:3]] == [1, 2, 3]
    bench.token.cancel()
    with pytest.raises(Cancelled):
        translate(bench, language_model)


# -- in a graph -------------------------------------------------------------------------------------


def nodes() -> Registry:
    return installed_nodes()


def test_several_texts_load_the_model_once_and_it_is_evicted_before_another_stage(
    language_model: Path,
) -> None:
    session = Session(nodes())
    graph = workflow(
        flux=("LoadFlux", {"model": "tiny"}),
        one=("TranslatePrompt", {"text": "un gatto", "model": str(language_model)}),
        two=("TranslatePrompt", {"text": "un cane", "model": str(language_model)}),
    )
    events: list[Any] = []
    session.run(graph, targets=["one", "two", "flux"], on_event=events.append)
    assert session.services.get(Translator).loads == 1
    [loaded] = [event for event in events if isinstance(event, ModelLoaded)]
    [evicted] = [event for event in events if isinstance(event, ModelEvicted)]
    assert loaded.nbytes == evicted.nbytes > 4 * WIDTH * WIDTH
    assert loaded.component == evicted.component == "language_model"


def test_the_translation_feeds_a_prompt(language_model: Path, small_model: str, bench: Any) -> None:
    graph = workflow(
        flux=("LoadFlux", {"model": small_model}),
        translate=("TranslatePrompt", {"text": TEXT, "model": str(language_model)}),
        prompt=("TextEncode", {"text_encoders": "@flux.text_encoders", "prompt": "@translate.text"}),
    )
    result = Session(nodes()).run(graph, targets=["prompt"])
    conditioning = result.outputs("prompt").conditioning  # type: ignore[attr-defined]
    assert conditioning.only.prompt == translate(bench, language_model)


def test_another_model_in_the_same_folder_is_another_result(tmp_path: Path) -> None:
    folder = make_language_model(tmp_path / "model", seed=1)
    engine = Engine(nodes())
    graph = workflow(translate=("TranslatePrompt", {"text": TEXT, "model": str(folder)}))
    before = engine.run(graph, ["translate"]).outputs("translate")
    assert engine.run(graph, ["translate"]).outputs("translate") is before
    make_language_model(folder, seed=2)
    assert engine.run(graph, ["translate"]).outputs("translate") != before


# -- refusals ---------------------------------------------------------------------------------------


def fault_of(**inputs: str) -> str:
    node: Node = TranslatePrompt(text=TEXT, **inputs)
    [problem] = node.check(RunEnvironment([Path()], Path("output")))
    return f"{problem.message}. {problem.fix}"


def test_without_mlx_lm_the_command_that_installs_it_is_named(
    language_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "uv sync --extra translate" in fault_of(model=str(language_model))


def test_a_model_that_is_not_on_this_machine_is_refused_with_the_command_that_fetches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert "`hf download someone/some-model`" in fault_of(model="someone/some-model")
    assert "not on this machine" in fault_of(model="no repository at all")


def test_a_model_in_the_local_hub_cache_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--someone--some-model"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    (snapshot / "config.json").write_text("{}")
    assert "not on this machine" in fault_of(model="someone/some-model")  # its weights are missing
    (snapshot / "model.safetensors").write_bytes(b"")
    assert find_language_model("someone/some-model") == snapshot


@pytest.mark.parametrize("place", ["folder", "linked folder"])
def test_a_model_that_brings_code_is_refused_before_anything_runs(tmp_path: Path, place: str) -> None:
    model = tmp_path / "lm"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama", "model_file": "model.py"}')
    (model / "model.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    if place == "linked folder":
        (tmp_path / "link").symlink_to(model)
        model = tmp_path / "link"
    assert "brings Python code ('model.py'" in fault_of(model=str(model))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "both"])
def test_code_that_a_tokenizer_names_is_neither_run_nor_offered(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], file: str
) -> None:
    """transformers would ask on standard input whether to run it."""
    folder = make_language_model(tmp_path / "lm")
    (folder / "evil.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\n"
        "from transformers import PreTrainedTokenizer\nclass Evil(PreTrainedTokenizer): pass\n"
    )
    for name in ("config.json", "tokenizer_config.json"):
        if file in (name, "both"):
            config = json.loads((folder / name).read_text())
            config |= {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}, "tokenizer_class": "Evil"}
            (folder / name).write_text(json.dumps(config))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    with contextlib.suppress(LanguageModelError):
        translate(bench, folder)
    assert not (tmp_path / "ran").exists()
    output = capfd.readouterr()
    assert "custom code" not in output.out + output.err


@pytest.mark.parametrize("name", ["model-2.safetensors", "tokenizer.json", "notes"])
def test_a_pipe_in_a_model_s_folder_is_refused_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    os.mkfifo(tmp_path / name)
    assert f"{name} is not a regular file" in fault_of(model=str(tmp_path))


def test_a_model_replaced_with_the_same_sizes_and_times_is_another_one(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    path = tmp_path / "model.safetensors"
    identities = set()
    for content in (b"one", b"two", b"one"):
        path.write_bytes(content)
        os.utime(path, ns=(10**18, 10**18))
        identities.add(language_model_identity(tmp_path))
    assert len(identities) == 2


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere"])
def test_a_folder_without_a_model_is_refused(name: str) -> None:
    assert "is not the folder of a language model" in fault_of(model=name)


def test_validation_reports_a_missing_model() -> None:
    graph = workflow(translate=("TranslatePrompt", {"text": TEXT, "model": "./nowhere"}))
    with pytest.raises(WorkflowError, match="is not the folder of a language model"):
        Session(nodes()).run(graph, targets=["translate"])


def test_damaged_files_are_an_error_that_names_the_folder(bench: Any, tmp_path: Path) -> None:
    folder = make_language_model(tmp_path)
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(LanguageModelError, match="cannot be read as a language model"):
        translate(bench, folder)
