"""ComfyUI's loaders give the handles that native loaders give, and say what they cannot do."""

from pathlib import Path
from typing import Any

import pytest

from run_graph.graph import Link, Node, Registry, Workflow
from run_graph.graph.effects import Effect
from run_graph.nodes import (
    NODES,
    CheckpointLoaderSimple,
    CLIPLoader,
    CLIPLoaderGGUF,
    CLIPVisionLoader,
    DualCLIPLoader,
    DualCLIPLoaderGGUF,
    LoadFlux,
    LoadRedux,
    StyleModelLoader,
    UNETLoader,
    UnetLoaderGGUF,
    UnetLoaderGGUFAdvanced,
    VAELoader,
)
from run_graph.runtime.cache import MemoryCache
from run_graph.runtime.cache.serialization import digest_of
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.session import Session
from run_graph.runtime.events import Event, NodeStarted
from run_graph.runtime.models.resolution import resolve_flux
from run_graph.runtime.testing import NodeBench


def encoders(one: str, other: str, **inputs: Any) -> DualCLIPLoader:
    return DualCLIPLoader(clip_name1=one, clip_name2=other, **{"type": "flux", **inputs})


LOADERS: dict[str, tuple[Node, Any]] = {
    "transformer": (UNETLoader(unet_name="flux1-dev.safetensors"), LoadFlux(model="dev")),
    "text encoders": (
        encoders("clip_l.safetensors", "t5xxl_fp16.safetensors"),
        LoadFlux(model="schnell"),
    ),
    "autoencoder": (VAELoader(vae_name="ae.safetensors"), LoadFlux(model="schnell")),
    "vision": (
        CLIPVisionLoader(clip_name="sigclip_vision_patch14_384.safetensors"),
        LoadRedux(model="dev-redux"),
    ),
    "style model": (
        StyleModelLoader(style_model_name="flux1-redux-dev.safetensors"),
        LoadRedux(model="dev-redux"),
    ),
    "transformer in GGUF": (UnetLoaderGGUF(unet_name="flux1-dev.gguf"), LoadFlux(model="dev")),
    "transformer in GGUF, advanced": (
        UnetLoaderGGUFAdvanced(unet_name="flux1-dev-F16.gguf", dequant_dtype="float16", quantize=4),
        LoadFlux(model="dev", quantize=4),
    ),
    "text encoders in GGUF": (
        DualCLIPLoaderGGUF(
            clip_name1="clip_l.safetensors", clip_name2="t5-v1_1-xxl-encoder-f16.gguf", type="flux"
        ),
        LoadFlux(model="schnell"),
    ),
    "text encoders by name, as of GGUF": (CLIPLoaderGGUF(clip_name="tiny"), LoadFlux(model="tiny")),
    "by name": (CLIPLoader(clip_name="tiny"), LoadFlux(model="tiny")),
    "quantised": (VAELoader(vae_name="ae_tiny", quantize=4), LoadFlux(model="tiny", quantize=4)),
}


@pytest.mark.parametrize("name", LOADERS)
def test_handles_are_those_of_native_loaders(bench: NodeBench, name: str) -> None:
    node, native = LOADERS[name]
    [ours] = vars(bench.run(node)).values()
    [theirs] = [value for value in vars(bench.run(native)).values() if type(value) is type(ours)]
    assert ours == theirs
    assert digest_of(ours) == digest_of(theirs), "so that nodes that read them share results"
    assert bench.problems(node) == []


def test_a_checkpoint_has_all_three(bench: NodeBench) -> None:
    found = bench.run(CheckpointLoaderSimple(ckpt_name="flux1-dev-fp8.safetensors"))
    assert found.model.checkpoint == resolve_flux("dev")
    assert found.clip.checkpoint == found.vae.checkpoint == resolve_flux("schnell")


@pytest.mark.parametrize(
    ("node", "asks"),
    [
        (UNETLoader(unet_name="flux1-dev-fp8.safetensors"), ["flux1-dev-fp8.safetensors"]),
        (UNETLoader(unet_name="flux1-dev.safetensors", weight_dtype="fp8_e5m2"), ["weight_dtype fp8_e5m2"]),
        (encoders("clip_l", "t5xxl_fp8_e4m3fn.safetensors"), ["t5xxl_fp8_e4m3fn.safetensors"]),
        (
            CheckpointLoaderSimple(ckpt_name="flux1-schnell-fp8.safetensors"),
            ["flux1-schnell-fp8.safetensors"],
        ),
        (UNETLoader(unet_name="flux1-dev-fp8.safetensors", quantize=8), []),
        (UnetLoaderGGUF(unet_name="flux1-dev-Q4_K_S.gguf"), ["flux1-dev-Q4_K_S.gguf"]),
        (
            DualCLIPLoaderGGUF(clip_name1="t5xxl-Q8_0.gguf", clip_name2="clip_l", type="flux"),
            ["t5xxl-Q8_0.gguf"],
        ),
        (UNETLoader(unet_name="flux1-dev.safetensors"), []),
        (encoders("clip_l", "t5xxl_fp16.safetensors"), []),
    ],
)
def test_weights_that_are_not_in_few_bits_are_told(bench: NodeBench, node: Node, asks: list[str]) -> None:
    bench.run(node)
    assert [warning.split(" asks for")[0] for warning in bench.warnings] == asks


@pytest.mark.parametrize(
    ("node", "input_name", "said"),
    [
        (UNETLoader(unet_name="flux1-fill-dev.safetensors"), "unet_name", "are flux1-tiny"),
        (VAELoader(vae_name="pixel_space"), "vae_name", "are ae_tiny, ae"),
        (VAELoader(vae_name="./nowhere"), "vae_name", "does not exist"),
        (CLIPLoader(clip_name="clip_l.safetensors"), "clip_name", "DualCLIPLoader"),
        (CLIPVisionLoader(clip_name="clip_vision_g.safetensors"), "clip_name", "sigclip_vision_patch14_384"),
        (StyleModelLoader(style_model_name="ip.bin"), "style_model_name", "flux1-redux-dev"),
        (encoders("clip_g.safetensors", "t5xxl"), "clip_name1", "no file 'clip_g.safetensors'"),
        (encoders("clip_l", "umt5.safetensors"), "clip_name2", "no file 'umt5.safetensors'"),
        (encoders("clip_l", "clip_l_tiny"), "clip_name2", "both a CLIP text encoder"),
        (encoders("clip_l", "t5xxl", type="sdxl"), "type", "for FLUX.1 only"),
    ],
)
def test_what_cannot_be_loaded_is_found_before_the_run(
    bench: NodeBench, node: Node, input_name: str, said: str
) -> None:
    [problem] = bench.problems(node)
    assert problem.input == input_name
    assert said in problem.message


def test_an_unknown_checkpoint_is_told_for_its_input(bench: NodeBench) -> None:
    problems = bench.problems(CheckpointLoaderSimple(ckpt_name="sd_xl_base_1.0.safetensors"))
    assert {problem.input for problem in problems} == {"ckpt_name"}


def test_only_the_parts_that_are_needed_are_downloaded(
    bench: NodeBench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    def downloads(node: Node) -> list[tuple[str, int]]:
        effects = [each for each in node.effects(bench.environment) if each.kind == "download"]
        return [(each.target.rpartition("/")[2], round((each.size or 0) / 1e8)) for each in effects]

    assert downloads(UNETLoader(unet_name="flux1-dev")) == [("FLUX.1-dev", 238)]
    assert downloads(encoders("clip_l", "t5xxl")) == [("FLUX.1-schnell", 98)]
    assert downloads(VAELoader(vae_name="ae")) == [("FLUX.1-schnell", 2)]
    whole = downloads(CheckpointLoaderSimple(ckpt_name="flux1-dev"))
    assert whole == [("FLUX.1-dev", 238), ("FLUX.1-schnell", 99)]
    assert downloads(UNETLoader(unet_name="flux1-tiny")) == []


def test_a_folder_is_read_as_it_is(bench: NodeBench, small_model: str) -> None:
    node = VAELoader(vae_name=small_model)
    assert list(node.effects(bench.environment)) == [Effect("model", small_model, "model")]
    assert bench.run(node).vae == bench.run(LoadFlux(model=small_model)).vae


def test_linked_names_wait_for_the_run(bench: NodeBench) -> None:
    link = Link("text", 0)
    for node in (
        UNETLoader.model_construct(unet_name=link),
        DualCLIPLoader.model_construct(clip_name1=link, clip_name2="t5xxl", type="flux"),
        DualCLIPLoader.model_construct(clip_name1="clip_l", clip_name2=link, type=link),
    ):
        assert bench.problems(node) == []
        assert list(node.effects(bench.environment)) == []
        assert not any(node.fingerprint(bench.environment) or [])


def test_what_was_computed_with_native_loaders_is_not_computed_again(
    small_model: str, tmp_path: Path
) -> None:
    events: list[Event] = []
    session = Session(Registry(NODES), MemoryCache())

    def encode(loader: str, slot: int, **inputs: Any) -> None:
        nodes = {
            "load": {"class_type": loader, "inputs": inputs},
            "say": {
                "class_type": "TextEncode",
                "inputs": {"text_encoders": ["load", slot], "prompt": "a fox"},
            },
        }
        environment = RunEnvironment([tmp_path], tmp_path)
        session.run(
            Workflow.from_json(nodes), targets=["say"], environment=environment, on_event=events.append
        )

    def computed() -> list[str]:
        return [event.class_type for event in events if isinstance(event, NodeStarted)]

    encode("LoadFlux", 1, model=small_model)
    assert computed().count("TextEncode") == 1
    encode("DualCLIPLoader", 0, clip_name1=small_model, clip_name2=small_model, type="flux")
    assert computed().count("DualCLIPLoader") == 1
    assert computed().count("TextEncode") == 1
    encode("DualCLIPLoader", 0, clip_name1=small_model, clip_name2=small_model, type="flux", quantize=4)
    assert computed().count("TextEncode") == 2
