"""Nothing of a prompt is dropped without a word: in events, messages, metadata, and under --strict."""

import json
from pathlib import Path

import pytest
from PIL import Image as PilImage

from run_graph.graph import Graph
from run_graph.nodes import DecodeLatent, FluxSample, LoadFlux, SaveImage, TextEncode
from run_graph.runtime.cache import MemoryCache, NoCache, ResultCache
from run_graph.runtime.cli.main import main
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import NodeFailed
from run_graph.runtime.events import Event, NodeWarned
from run_graph.runtime.models.prompt_notes import foreign_syntax, prompt_notes
from run_graph.runtime.models.resolution import resolve_flux
from run_graph.runtime.models.store import ModelStore

LONG = "a fox on a green background, " * 20 + "a castle on a purple background"


def graph(prompt: str) -> Graph:
    g = Graph()
    flux = g.add(LoadFlux(model="tiny"))
    text = g.add(TextEncode(text_encoders=flux.text_encoders, prompt=prompt))
    sample = g.add(
        FluxSample(flux=flux.flux, conditioning=text.conditioning, width=32, height=32, steps=1, seed=3)
    )
    image = g.add(DecodeLatent(vae=flux.vae, latent=sample.latent))
    g.add(SaveImage(images=image.image, filename_prefix="a"))
    return g


def warnings_of(
    prompt: str, folder: Path, *, strict: bool = False, cache: ResultCache | None = None
) -> list[str]:
    events: list[Event] = []
    session = Session(cache=NoCache() if cache is None else cache, strict=strict)
    session.run(graph(prompt).workflow, environment=RunEnvironment([folder], folder), on_event=events.append)
    return [event.message for event in events if isinstance(event, NodeWarned)]


def test_a_prompt_that_is_cut_is_reported_once_in_every_run(tmp_path: Path) -> None:
    for _ in range(2):
        [message] = warnings_of(LONG, tmp_path)
        assert message.startswith("the prompt is too long: T5 reads its first 24 tokens, and the end from")
    settings = [json.loads(PilImage.open(path).info["run_graph"]) for path in tmp_path.glob("*.png")]
    assert [each["warnings"] for each in settings] == [[message], [message]]


def test_an_ordinary_prompt_is_not_commented_on(tmp_path: Path) -> None:
    assert warnings_of("a fox, flat style, on a green background", tmp_path) == []
    [path] = tmp_path.glob("*.png")
    assert "warnings" not in json.loads(PilImage.open(path).info["run_graph"])


def test_the_end_that_is_lost_is_quoted() -> None:
    store, tiny = ModelStore(), resolve_flux("tiny")
    fits = "fox " * 22
    assert list(prompt_notes(store, tiny, fits)) == []
    assert list(prompt_notes(store, tiny, fits + "castle")) == []
    [note] = prompt_notes(store, tiny, fits + "castle boat rocket strawberry")
    assert 'the end from "boat rocket strawberry" on is ignored' in note


def test_a_strict_run_fails_at_the_prompt(tmp_path: Path) -> None:
    with pytest.raises(NodeFailed, match=r"\(TextEncode\) failed: the prompt is too long"):
        warnings_of(LONG, tmp_path, strict=True)
    assert list(tmp_path.glob("*.png")) == []


def test_a_strict_run_fails_on_what_an_earlier_run_has_encoded(tmp_path: Path) -> None:
    kept = MemoryCache()
    assert warnings_of(LONG, tmp_path / "one", cache=kept)
    with pytest.raises(NodeFailed, match=r"\(SaveImage\) failed: the prompt is too long"):
        warnings_of(LONG, tmp_path / "two", strict=True, cache=kept)


@pytest.mark.parametrize("carrier", ["--set", "file"])
def test_the_command_says_it_and_strict_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], carrier: str
) -> None:
    monkeypatch.chdir(tmp_path)
    g = graph(LONG if carrier == "file" else "a fox")
    g.save("w.json")
    given = [] if carrier == "file" else ["--set", f"text_encode.prompt={LONG}"]
    assert main(["w.json", *given]) == 0
    assert "run-graph: warning: node 'text_encode': the prompt is too long" in capsys.readouterr().err
    assert main(["w.json", *given, "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["node_id"] for event in events if event["event"] == "node_warning"] == ["save_image"]
    assert main(["w.json", *given, "--strict", "--no-cache"]) == 1
    assert "failed: the prompt is too long" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("a (fox:1.3)", "a weight"),
        ("(a red fox: .8) asleep", "a weight"),
        ("a fox <lora:flat:0.8>", "a LoRA"),
        ("a {red|blue} fox", "alternatives"),
        ("a __colour__ fox", "a wildcard"),
        ("embedding:style a fox", "an embedding"),
    ],
)
def test_other_programs_syntax_is_named(prompt: str, kind: str) -> None:
    [note] = foreign_syntax(prompt)
    assert f"looks like {kind} in another program's syntax" in note


@pytest.mark.parametrize(
    "prompt", ["a fox (asleep)", "at 10:30 (sharp)", "a < b > c", "{}", "snake_case __", "50%, 1:1"]
)
def test_ordinary_punctuation_is_not(prompt: str) -> None:
    assert list(foreign_syntax(prompt)) == []
