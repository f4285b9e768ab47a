"""The graph that the command builds: native nodes only, shared stages once."""

from collections import Counter
from pathlib import Path

import pytest

from run_graph.graph.formats.api import load_workflow
from run_graph.graph.registry import installed_nodes
from run_graph.graph.validation import validate
from run_graph.graph.workflow import Workflow
from run_graph.runtime.cli.mflux.arguments import parse
from run_graph.runtime.cli.mflux.invocation import Invocation, invocation_of
from run_graph.runtime.engine.context import RunEnvironment

PHOTO = str(Path(__file__).parents[4] / "workflows" / "images" / "sunset.png")

TEXT_ONLY = ("LoadFlux", "TextEncode", "FluxSample", "DecodeLatent", "SaveImage")
REDUX = ("LoadRedux", "LoadImage", "SiglipEncode", "ReduxEncode", "PatchDownsample", "ConcatConditioning")


def job(*argv: str) -> Invocation:
    return invocation_of(parse(["--prompt", "a mill", "-m", "tiny", *argv]))


def classes(workflow: Workflow) -> Counter[str]:
    return Counter(spec.class_type for spec in workflow.nodes.values())


def test_plain_redux_is_one_chain_of_native_nodes() -> None:
    made = job("--redux-image-paths", PHOTO)
    assert classes(made.workflow) == Counter((*TEXT_ONLY, *REDUX))


@pytest.mark.parametrize(
    "argv", [[], ["--redux-image-paths", PHOTO, PHOTO], ["--seed", "1", "2"], ["--low-ram", "-q", "4"]]
)
def test_the_graph_is_valid_as_it_stands(argv: list[str], tmp_path: Path) -> None:
    made = job(*argv)
    assert validate(made.workflow, installed_nodes(), env=RunEnvironment([tmp_path], tmp_path)) == []


def test_more_seeds_share_everything_up_to_the_conditioning() -> None:
    one, three = classes(job("--seed", "1").workflow), classes(job("--seed", "1", "2", "3").workflow)
    several = {name for name in three if three[name] == 3}
    assert several == {"FluxSample", "DecodeLatent", "SaveImage"}
    assert all(three[name] == one[name] for name in one if name not in several)


def test_reference_pictures_are_chained_in_their_order() -> None:
    nodes = job("--redux-image-paths", "a.png", "b.png", "--redux-image-strengths", "0.25").workflow.nodes
    assert nodes["both_1"].inputs["strength"] == 0.25
    assert nodes["both_2"].inputs["strength"] == 1.0
    assert nodes["both_2"].inputs["conditioning"].node_id == "both_1"
    assert nodes["sample"].inputs["conditioning"].node_id == "both_2"
    assert [nodes[name].inputs["image"] for name in ("photo_1", "photo_2")] == ["a.png", "b.png"]


def test_without_pictures_no_redux_model_is_named() -> None:
    made = job()
    assert set(classes(made.workflow)) == {
        "LoadFlux",
        "TextEncode",
        "FluxSample",
        "DecodeLatent",
        "SaveImage",
    }
    assert made.notes == ("no reference pictures (--redux-image-paths): drawing from the prompt alone",)


def test_loras_are_chained_between_model_and_sampler() -> None:
    nodes = job("--lora", "a.safetensors", "0.5", "--lora", "org/name").workflow.nodes
    assert nodes["lora_1"].inputs["flux"].node_id == "flux"
    assert (nodes["lora_1"].inputs["lora"], nodes["lora_1"].inputs["scale"]) == ("a.safetensors", 0.5)
    assert nodes["lora_2"].inputs["flux"].node_id == "lora_1"
    assert nodes["sample"].inputs["flux"].node_id == "lora_2"
    assert {spec.class_type for name, spec in nodes.items() if name.startswith("lora")} == {"LoadLora"}


def test_quantisation_is_for_both_models_and_tiles_for_the_decoder() -> None:
    nodes = job("-q", "4", "--vae-tile-size", "256", "--redux-image-paths", "a.png").workflow.nodes
    assert nodes["flux"].inputs["quantize"] == nodes["redux"].inputs["quantize"] == 4
    assert nodes["image"].inputs["tile_size"] == 256


def test_names_follow_the_output_template() -> None:
    def names(*argv: str) -> list[str]:
        return [str(path) for path in job(*argv).pictures.values()]

    assert names("--seed", "5") == ["image.png"]
    assert names("--seed", "5", "6") == ["image_seed_5.png", "image_seed_6.png"]
    assert names("--output", "out/{seed}.png", "--seed", "5", "6") == ["out/5.png", "out/6.png"]
    picture = ("--redux-image-paths", "a.png", "--redux-mode", "lowest")
    assert names("--output", "{redux_mode}/a.jpg", *picture) == ["lowest/a.jpg"]
    assert job("--output", "out/{seed}.png", "--seed", "5").output_folder == Path("out")


def test_pictures_in_several_folders_lie_below_the_output_folder(tmp_path: Path) -> None:
    made = job("--output", str(tmp_path / "{seed}" / "a.png"), "--seed", "5", "6")
    assert made.output_folder == tmp_path
    assert made.workflow.nodes["save_5"].inputs["filename_prefix"] == "5/a"


def test_the_graph_survives_its_file(tmp_path: Path) -> None:
    made = job("--redux-image-paths", PHOTO, "--seed", "1", "2").workflow
    path = tmp_path / "graph.json"
    path.write_text(made.dumps(), encoding="utf-8")
    assert load_workflow(path) == made
