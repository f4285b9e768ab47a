"""Reading settings back: mflux's sidecars and pictures, the branch's, and ours."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from run_graph.graph.faults import WorkflowError
from run_graph.runtime.cli.mflux.arguments import parse
from run_graph.runtime.cli.mflux.options import settings_given
from run_graph.runtime.formats.mflux.errors import CommandError
from run_graph.runtime.formats.mflux.recipe import Recipe, recipe_of
from run_graph.runtime.formats.mflux.recorded import read_recorded, settings_from
from run_graph.runtime.formats.source import read_source
from run_graph.runtime.images.exif import exif_data

# What mflux 0.24's GeneratedImage writes for plain Redux, as a whole.
MFLUX_0_24: dict[str, Any] = {
    "mflux_version": "0.24.0",
    "model": "black-forest-labs/FLUX.1-Redux-dev",
    "model_path": None,
    "base_model": None,
    "seed": 42,
    "steps": 12,
    "guidance": 4.5,
    "height": 640,
    "width": 512,
    "precision": "mlx.core.bfloat16",
    "quantize": 8,
    "generation_time_seconds": 31.41,
    "created_at": "2026-02-03T04:05:06",
    "lora_paths": ["style.safetensors"],
    "lora_scales": [0.7],
    "image_path": None,
    "image_paths": None,
    "image_strength": None,
    "controlnet_image_path": None,
    "controlnet_strength": None,
    "masked_image_path": None,
    "depth_image_path": None,
    "redux_image_paths": ["a.png", "b.png"],
    "redux_image_strengths": [0.8, 1.0],
    "prompt": "a mill",
    "negative_prompt": None,
}
# What the branch wrote (mflux 0.10): no size, a Python list as text, "None" for none.
BRANCH: dict[str, Any] = {
    "mflux_version": "0.10.0",
    "model": "black-forest-labs/FLUX.1-dev",
    "base_model": "None",
    "seed": 7,
    "steps": 20,
    "guidance": 3.5,
    "precision": "mlx.core.bfloat16",
    "quantize": None,
    "generation_time_seconds": 9.5,
    "lora_paths": None,
    "lora_scales": None,
    "image_path": None,
    "image_strength": None,
    "controlnet_image_path": None,
    "controlnet_strength": None,
    "masked_image_path": None,
    "depth_image_path": None,
    "redux_image_paths": "[PosixPath('it\\'s.png'), PosixPath(\"b.png\")]",
    "redux_image_strengths": None,
    "redux_mode": "low",
    "prompt": "a mill",
}


# What run-graph records beside that.
OWN: dict[str, Any] = {
    "prompt": "a mill",
    "seed": 42,
    "steps": 12,
    "model": "dev",
    "redux_image_paths": ["a.png", "b.png"],
    "versions": {},
}


def sidecar(folder: Path, document: Any) -> Path:
    path = folder / "picture.metadata.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def picture(folder: Path, document: dict[str, Any], suffix: str = ".png") -> Path:
    """A picture with settings in its EXIF comment, as mflux writes them."""
    path = folder / f"old{suffix}"
    Image.new("RGB", (16, 16)).save(path, exif=exif_data(document))
    return path


def recipe(document: dict[str, Any], *argv: str) -> Recipe:
    return recipe_of(settings_given(parse(argv)).over(settings_from(document)))


# -- what is read ---------------------------------------------------------------------------------------


def test_mflux_s_plain_redux_comes_back_as_mode_highest() -> None:
    made = recipe(MFLUX_0_24)
    assert (made.prompt, made.seeds, made.parameters["steps"], made.parameters["guidance"]) == (
        "a mill",
        (42,),
        12,
        4.5,
    )
    assert (made.parameters["width"], made.parameters["height"], made.quantize) == (512, 640, 8)
    assert (made.model, made.redux_model) == ("dev", "dev-redux")
    assert [(each.path, each.strength, each.mode) for each in made.references] == [
        ("a.png", 0.8, "highest"),
        ("b.png", 1.0, "highest"),
    ]
    assert {(each.fit, each.resample) for each in made.references} == {("stretch", "lanczos")}
    assert [(lora.path, lora.scale) for lora in made.loras] == [("style.safetensors", 0.7)]


def test_the_branch_s_metadata_keeps_its_mode_and_its_python_list() -> None:
    made = recipe(BRANCH)
    assert [(each.path, each.mode, each.interpolation) for each in made.references] == [
        ("it's.png", "low", "area"),
        ("b.png", "low", "area"),
    ]
    assert (made.model, made.parameters["width"], made.loras) == ("black-forest-labs/FLUX.1-dev", 1024, ())


def test_what_mflux_itself_records_is_read(tmp_path: Path) -> None:
    from mflux.models.common.config import ModelConfig
    from mflux.utils.generated_image import GeneratedImage

    image = GeneratedImage(
        image=Image.new("RGB", (32, 16)),
        model_config=ModelConfig.schnell(),
        seed=3,
        prompt="è già sera",
        steps=2,
        guidance=1.0,
        precision="float32",  # type: ignore[arg-type]
        quantization=4,
        generation_time=1.0,
        width=32,
        height=16,
        redux_image_paths=[tmp_path / "a.png"],
        redux_image_strengths=[0.125],
    )
    image.save(tmp_path / "theirs.png", export_json_metadata=True)
    for file in ("theirs.png", "theirs.metadata.json"):
        made = recipe_of(read_recorded(tmp_path / file).settings)
        assert (made.prompt, made.seeds, made.parameters["steps"], made.quantize) == (
            "è già sera",
            (3,),
            2,
            4,
        )
        assert made.model == "black-forest-labs/FLUX.1-schnell"
        assert [(each.path, each.strength) for each in made.references] == [(str(tmp_path / "a.png"), 0.125)]


def test_the_source_of_the_weights_wins_over_the_model_s_name() -> None:
    made = recipe({**MFLUX_0_24, "model_path": "someone/flux-tuned"})
    assert (made.model, made.parameters["steps"]) == ("someone/flux-tuned", 12)
    assert (
        recipe({**MFLUX_0_24, "model_path": "me/x", "base_model": "schnell", "steps": None}).parameters[
            "steps"
        ]
        == 4
    )


def test_settings_per_picture_come_back_per_picture() -> None:
    own = {"redux_mode": ["low", "factor 2.5", None], "redux_fit": ["crop", "pad", "stretch"]}
    document = {**OWN, **own, "redux_image_paths": ["a", "b", "c"], "redux_image_strengths": None}
    references = recipe(document).references
    assert [each.mode for each in references] == ["low", "medium", "highest"]
    assert [each.factor for each in references] == [None, 2.5, None]
    assert [(each.fit, each.resample) for each in references] == [
        ("crop", "bicubic"),
        ("pad", "bicubic"),
        ("stretch", "lanczos"),
    ]


def test_the_recorded_redux_model_is_used_again_unless_the_model_changes() -> None:
    own = {**OWN, "redux_model": "me/redux"}
    assert recipe(MFLUX_0_24).redux_model == "dev-redux"
    assert recipe(own).redux_model == "me/redux"
    assert recipe(own, "--redux-model", "tiny").redux_model == "tiny"
    assert recipe(own, "-m", "tiny").redux_model == "tiny"
    with pytest.raises(CommandError, match="several Redux models"):
        recipe({**own, "redux_model": ["me/redux", "dev-redux"]})


# -- what the command line changes ----------------------------------------------------------------------


def test_flags_win_over_recorded_settings() -> None:
    made = recipe(MFLUX_0_24, "--seed", "1", "2", "--redux-mode", "low", "--prompt", "", "-m", "schnell")
    assert (made.seeds, made.prompt, made.model, made.parameters["steps"]) == ((1, 2), "", "schnell", 12)
    assert {each.mode for each in made.references} == {"low"}
    assert [each.strength for each in made.references] == [0.8, 1.0]


def test_new_pictures_do_not_inherit_the_old_ones_strengths() -> None:
    (only,) = recipe(MFLUX_0_24, "--redux-image-paths", "new.png").references
    assert (only.path, only.strength, only.mode) == ("new.png", 1.0, "highest")


def test_lora_paths_without_values_drops_the_recorded_loras() -> None:
    assert recipe(MFLUX_0_24, "--lora-paths").loras == ()
    assert [lora.scale for lora in recipe(MFLUX_0_24, "--lora-scales", "0.2").loras] == [0.2]


def test_automatic_seeds_replace_the_recorded_one() -> None:
    assert len(recipe(MFLUX_0_24, "--auto-seeds", "3").seeds) == 3


# -- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image_path", "start.png"),
        ("image_paths", ["edit.png"]),
        ("controlnet_image_path", "canny.png"),
        ("masked_image_path", "mask.png"),
        ("depth_image_path", "depth.png"),
        ("negative_prompt", "blur"),
        ("pid_decode", True),
        ("step_cache_ratio", 0.25),
        ("compute_precision", "float16"),
        ("scheduler", "seedvr2_euler"),
        ("model", "Qwen/Qwen-Image"),
    ],
)
def test_other_variants_are_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(CommandError) as caught:
        settings_from({**MFLUX_0_24, key: value})
    assert key in str(caught.value) or str(value) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", "many"),
        ("steps", 2.5),
        ("prompt", 3),
        ("redux_image_paths", "[os.remove('x')]"),
        ("redux_image_paths", [3]),
        ("redux_image_strengths", ["1"]),
        ("redux_mode", 3),
    ],
)
def test_a_value_of_the_wrong_type_is_named(key: str, value: Any) -> None:
    with pytest.raises(CommandError, match=r"recorded (paths|" + key + ")"):
        settings_from({**MFLUX_0_24, key: value})


@pytest.mark.parametrize("text", ["", "[1]", "{}", "not json", '{"a": {"class_type": "LoadImage"}}'])
def test_a_sidecar_without_settings_is_refused_and_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CommandError, match=r"x\.json"):
        read_recorded(path)


def test_a_picture_without_settings_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.jpg")
    with pytest.raises(CommandError, match=r"plain\.jpg carries no settings"):
        read_recorded(tmp_path / "plain.jpg")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("gone.json", "gone.png"):
        with pytest.raises(CommandError, match=name):
            read_recorded(tmp_path / name)


# -- run-graph old.png ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_run_graph_builds_the_graph_of_mflux_s_picture(tmp_path: Path, suffix: str) -> None:
    source = read_source(picture(tmp_path, MFLUX_0_24, suffix))
    nodes = source.workflow.nodes
    assert nodes["sample"].inputs["seed"] == 42
    assert nodes["smaller_2"].inputs["mode"] == "highest"
    assert nodes["save"].inputs["filename_prefix"] == "old"
    assert source.folders[0] == tmp_path


def test_run_graph_builds_the_graph_of_a_picture_without_references(tmp_path: Path) -> None:
    plain = {**MFLUX_0_24, "model": "black-forest-labs/FLUX.1-schnell", "redux_image_paths": None}
    plain |= {"redux_image_strengths": None, "lora_paths": None, "lora_scales": None}
    classes = [spec.class_type for spec in read_source(picture(tmp_path, plain)).workflow.nodes.values()]
    assert classes == ["LoadFlux", "TextEncode", "FluxSample", "DecodeLatent", "SaveImage"]


@pytest.mark.parametrize(
    ("change", "named"),
    [({"image_path": "start.png"}, "image_path"), ({"prompt": None}, "prompt"), ({"seed": None}, "seed")],
)
def test_run_graph_says_why_a_picture_of_mflux_cannot_be_run(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    path = picture(tmp_path, {**MFLUX_0_24, **change})
    with pytest.raises(WorkflowError) as caught:
        read_source(path)
    assert caught.value.faults[0].code == "no_workflow"
    assert named in str(caught.value)
    assert "old.png" in str(caught.value)


@pytest.mark.parametrize("name", ["a.json", "a.png", "a.jpg", "a"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_settings_are_not_waited_for_in_pipes_and_devices(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(CommandError, match=f"{name} is a {kind}, not a regular file; give a sidecar"):
        read_recorded(path)
