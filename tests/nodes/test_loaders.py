"""LoadFlux and LoadRedux choose models; each node then loads the one component that it computes with."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from run_graph.graph import Node
from run_graph.nodes import (
    DecodeLatent,
    FluxSample,
    LoadFlux,
    LoadRedux,
    ReduxEncode,
    SiglipEncode,
    TextEncode,
)
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.testing import NodeBench
from run_graph.runtime.values import Image


def problems(node: Node, bench: Any) -> list[str]:
    return [problem.message for problem in node.check(bench.environment)]


def test_loading_reads_no_weights(tmp_path: Path, small_model: str) -> None:
    bench = NodeBench(tmp_path, store := ModelStore())
    flux = bench.run(LoadFlux(model=small_model))
    redux = bench.run(LoadRedux(model=small_model))
    assert not store.loads
    assert len({flux.flux, flux.text_encoders, flux.vae, redux.siglip, redux.redux}) == 5


def test_handles_of_the_same_model_are_equal_and_of_another_precision_not(
    bench: Any, small_model: str
) -> None:
    plain, again, reduced = (
        bench.run(LoadFlux(model=small_model, quantize=bits)) for bits in ("none", None, 4)
    )
    assert plain.flux == again.flux != reduced.flux
    assert reduced.vae.quantize == 4


def test_each_stage_loads_only_the_component_that_it_needs(tmp_path: Path, small_model: str) -> None:
    bench = NodeBench(tmp_path, store := ModelStore())
    flux, redux = bench.run(LoadFlux(model=small_model)), bench.run(LoadRedux(model=small_model))
    image = Image(np.zeros((1, 20, 20, 3), np.float32))

    def newly_loaded(node: Node) -> tuple[set[str], Any]:
        before = set(store.loads)
        outputs = bench.run(node)
        return {key.component for key in set(store.loads) - before}, outputs

    loaded, seen = newly_loaded(SiglipEncode(siglip=redux.siglip, image=image))
    assert loaded == {"image_encoder"}
    loaded, _ = newly_loaded(ReduxEncode(redux=redux.redux, vision=seen.vision))
    assert loaded == {"image_embedder"}
    loaded, said = newly_loaded(TextEncode(text_encoders=flux.text_encoders, prompt=""))
    assert loaded == {"text_encoder", "text_encoder_2"}
    size = {"width": 16, "height": 16, "steps": 1}
    loaded, sampled = newly_loaded(FluxSample(flux=flux.flux, conditioning=said.conditioning, **size))
    assert loaded == {"transformer"}
    loaded, _ = newly_loaded(DecodeLatent(vae=flux.vae, latent=sampled.latent))
    assert loaded == {"vae"}
    assert set(store.loads.values()) == {1}


@pytest.mark.parametrize("model", ["tiny", "dev", "schnell", "krea-dev", "someone/flux-merge"])
def test_known_names_and_repositories_pass_without_a_download(bench: Any, model: str) -> None:
    assert problems(LoadFlux(model=model), bench) == []


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (LoadFlux(model="schnel"), "Did you mean 'schnell'?"),
        (LoadFlux(model="dev-redux"), "dev-redux belongs in LoadRedux"),
        (LoadRedux(model="dev"), "dev belongs in LoadFlux"),
        (LoadFlux(model="./nowhere"), "folder nowhere does not exist"),
        (LoadFlux(model=""), "no FLUX model ''"),
    ],
)
def test_an_unknown_model_is_named_with_the_fix(bench: Any, node: Node, message: str) -> None:
    [found] = problems(node, bench)
    assert message in found


def without(part: str) -> Callable[[Path], None]:
    return lambda folder: shutil.rmtree(folder / part)


def truncated(part: str) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        [weights] = (folder / part).glob("*.safetensors")
        weights.write_bytes(weights.read_bytes()[:-100])

    return cut


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (without("vae"), "has no folder 'vae'"),
        (without("tokenizer_2"), "has no folder 'tokenizer_2'"),
        (truncated("transformer"), "is cut short"),
        (truncated("text_encoder"), "is cut short"),
    ],
)
def test_a_model_folder_with_a_missing_or_truncated_component_is_found_before_the_run(
    bench: Any, small_model: str, damage: Callable[[Path], None], expected: str
) -> None:
    folder = bench.folder / "model"
    shutil.copytree(small_model, folder)
    damage(folder)
    [message] = problems(LoadFlux(model=str(folder)), bench)
    assert expected in message
    assert str(folder) in message


def test_the_fingerprint_follows_the_files_of_a_folder(bench: Any, small_model: str) -> None:
    folder = bench.folder / "model"
    shutil.copytree(small_model, folder)
    node = LoadFlux(model=str(folder))
    before = node.fingerprint(bench.environment)
    assert node.fingerprint(bench.environment) == before
    config = folder / "transformer" / "config.json"
    config.write_text(config.read_text() + "\n")
    assert node.fingerprint(bench.environment) != before
