"""LoraLoader and LoraLoaderModelOnly; conformance/ tests ComfyUI's own results."""

from pathlib import Path

import numpy as np
import pytest
from lora_samples import Sample

from run_graph.nodes import LoadFlux, LoadLora, LoraLoader, LoraLoaderModelOnly
from run_graph.runtime.errors import LoraError
from run_graph.runtime.models.components import TEXT_ENCODERS
from run_graph.runtime.testing import NodeBench

TRANSFORMER = "lora_unet_single_blocks_0_linear2"
CLIP = "lora_te1_text_model_encoder_layers_0_mlp_fc1"
T5 = "lora_te2_encoder_block_0_layer_0_SelfAttention_q"
OTHER = "lora_te1_text_projection"


def file(folder: Path, *layers: str, name: str = "style.safetensors") -> Path:
    tensors = {
        f"{layer}.lora_{part}.weight": np.zeros((2, 2), np.float32)
        for layer in layers
        for part in ("up", "down")
    }
    return Sample(tensors, {}).save(folder / name)


def test_each_network_gets_its_part(bench: NodeBench) -> None:
    path = file(bench.folder, TRANSFORMER, CLIP, T5)
    flux = bench.run(LoadFlux(model="tiny"))
    node = LoraLoader(
        model=flux.flux,
        clip=flux.text_encoders,
        lora_name="style.safetensors",
        strength_model=0.5,
        strength_clip=-2,
    )
    found = bench.run(node)
    [of_model], [of_clip] = found.model.loras, found.clip.loras
    assert (of_model.scale, of_model.components) == (0.5, ("transformer",))
    assert (of_clip.scale, of_clip.components) == (-2, TEXT_ENCODERS)
    assert of_model.path == of_clip.path == path
    assert found.clip.loras_of("text_encoder") == found.clip.loras_of("text_encoder_2") == (of_clip,)
    assert flux.flux.loras == flux.text_encoders.loras == ()
    assert bench.warnings == []


def test_a_network_without_layers_in_the_file_stays_as_it_is(bench: NodeBench) -> None:
    """So that what was computed without the LoRA is not computed again."""
    flux = bench.run(LoadFlux(model="tiny"))
    file(bench.folder, TRANSFORMER, name="picture.safetensors")
    file(bench.folder, CLIP, name="text.safetensors")
    handles = {"model": flux.flux, "clip": flux.text_encoders}
    picture = bench.run(LoraLoader(lora_name="picture.safetensors", **handles))
    assert picture.clip is flux.text_encoders
    text = bench.run(LoraLoader(lora_name="text.safetensors", **handles))
    assert text.model is flux.flux
    assert text.clip.loras_of("text_encoder_2") == ()


def test_a_strength_of_0_passes_through(bench: NodeBench) -> None:
    file(bench.folder, TRANSFORMER, CLIP)
    flux = bench.run(LoadFlux(model="tiny"))
    handles = {"model": flux.flux, "clip": flux.text_encoders, "lora_name": "style.safetensors"}
    half = bench.run(LoraLoader(strength_model=0, **handles))
    assert half.model is flux.flux
    assert half.clip.loras
    none = bench.run(LoraLoader(strength_model=0, strength_clip=0, **handles))
    assert (none.model, none.clip) == (flux.flux, flux.text_encoders)
    alone = LoraLoaderModelOnly(model=flux.flux, lora_name="style.safetensors", strength_model=0)
    assert bench.run(alone).model is flux.flux


def test_the_handle_is_the_native_nodes(bench: NodeBench) -> None:
    """So that both share the adapted network."""
    flux = bench.run(LoadFlux(model="tiny")).flux
    for name, layers, unmatched in (
        ("plain.safetensors", [TRANSFORMER], "refuse"),
        ("both.safetensors", [TRANSFORMER, CLIP], "skip"),
    ):
        file(bench.folder, *layers, name=name)
        own = bench.run(LoadLora(flux=flux, lora=name, scale=0.7, unmatched=unmatched)).flux
        theirs = bench.run(LoraLoaderModelOnly(model=flux, lora_name=name, strength_model=0.7)).model
        assert own == theirs
        assert own.digest == theirs.digest


def test_the_native_node_takes_text_encoders_too(bench: NodeBench) -> None:
    file(bench.folder, TRANSFORMER, CLIP, T5)
    flux = bench.run(LoadFlux(model="tiny"))
    handles = {"model": flux.flux, "clip": flux.text_encoders, "lora_name": "style.safetensors"}
    native = {"flux": flux.flux, "text_encoders": flux.text_encoders, "lora": "style.safetensors"}
    for inputs, clip in (({"scale": 0.7}, 0.7), ({"scale": 0.7, "text_scale": -1.5}, -1.5)):
        theirs = bench.run(LoraLoader(strength_model=0.7, strength_clip=clip, **handles))
        own = bench.run(LoadLora(**inputs, **native))
        assert (own.flux, own.text_encoders) == (theirs.model, theirs.clip)
    off = bench.run(LoadLora(text_scale=0, **native))
    assert (off.text_encoders, bool(off.flux.loras)) == (flux.text_encoders, True)
    assert bench.warnings == []


def test_the_native_node_without_text_encoders_tells_what_is_for_them(bench: NodeBench) -> None:
    file(bench.folder, TRANSFORMER, CLIP)
    flux = bench.run(LoadFlux(model="tiny")).flux
    found = bench.run(LoadLora(flux=flux, lora="style.safetensors"))
    assert found.text_encoders is None
    [warning] = bench.warnings
    assert (
        f"2 of its 4 tensors are left out: {CLIP}.lora_down.weight, {CLIP}.lora_up.weight (for CLIP"
        in warning
    )


def test_the_native_node_refuses_what_is_for_nothing(bench: NodeBench) -> None:
    file(bench.folder, TRANSFORMER, "transformer.pos_embed")
    flux = bench.run(LoadFlux(model="tiny")).flux
    node = LoadLora(flux=flux, lora="style.safetensors")
    [problem] = bench.problems(node)
    assert "2 of its 4 tensors match no layer of FLUX.1: transformer.pos_embed" in problem.message
    with pytest.raises(LoraError, match="match no layer"):
        bench.run(node)
    bench.run(LoadLora(flux=flux, lora="style.safetensors", unmatched="skip"))
    assert "(for no layer of FLUX.1)" in bench.warnings[0]


def test_a_file_for_text_encoders_alone_leaves_the_transformer_as_it_is(bench: NodeBench) -> None:
    file(bench.folder, CLIP)
    flux = bench.run(LoadFlux(model="tiny"))
    alone = bench.run(LoraLoaderModelOnly(model=flux.flux, lora_name="style.safetensors"))
    assert alone.model is flux.flux
    assert "2 of its 2 tensors are left out" in bench.warnings[0]
    both = bench.run(LoadLora(flux=flux.flux, text_encoders=flux.text_encoders, lora="style.safetensors"))
    assert both.flux is flux.flux
    assert both.text_encoders.loras_of("text_encoder")


def test_tensors_without_effect_are_told(bench: NodeBench) -> None:
    file(bench.folder, TRANSFORMER, CLIP, OTHER)
    flux = bench.run(LoadFlux(model="tiny"))
    handles = {"model": flux.flux, "lora_name": "style.safetensors"}
    bench.run(LoraLoader(clip=flux.text_encoders, **handles))
    bench.run(LoraLoaderModelOnly(**handles))
    both, alone = bench.warnings
    assert both.startswith("style.safetensors: 2 of its 6 tensors are left out: lora_te1_text_projection")
    assert "for CLIP's text projection, which FLUX.1 does not use" in both
    assert "style.safetensors: 4 of its 6" in alone
    assert "for CLIP, which it is not applied to here" in alone


def test_files_for_other_models_and_absent_ones_are_refused(bench: NodeBench) -> None:
    flux = bench.run(LoadFlux(model="tiny"))
    file(bench.folder, "lora_unet_down_blocks_1_attentions_0_proj_in", "lora_te1_text_model_x")
    with pytest.raises(LoraError, match=r"not a LoRA for FLUX\.1 but for Stable Diffusion"):
        bench.run(LoraLoaderModelOnly(model=flux.flux, lora_name="style.safetensors"))
    [problem] = bench.problems(LoraLoaderModelOnly(model=flux.flux, lora_name="absent.safetensors"))
    assert problem.input == "lora_name"
