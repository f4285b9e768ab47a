"""The flags: every spelling of mflux 0.10 and 0.24, their defaults, and those that are refused."""

import ast
import io
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from option_checks import check_types_and_frozenness, destinations, leaf_values

from run_graph.runtime.cli import consent
from run_graph.runtime.cli import mflux as mflux_command
from run_graph.runtime.cli.mflux.arguments import build_parser, parse
from run_graph.runtime.cli.mflux.flags import Flags
from run_graph.runtime.cli.mflux.invocation import invocation_of
from run_graph.runtime.cli.mflux.options import settings_given
from run_graph.runtime.formats.mflux.errors import CommandError
from run_graph.runtime.formats.mflux.parameters import flag_parameters, recorded_parameters
from run_graph.runtime.formats.mflux.recipe import Recipe, recipe_of

# mflux 0.10.0 with the advanced-Redux branch: generate_redux_advanced.py and ui/cli/parsers.py.
BRANCH_FLAGS = {
    "--battery-percentage-stop-limit",
    "-B",
    "--low-ram",
    "--vae-tiling",
    "--vae-tiling-split",
    "--model",
    "-m",
    "--path",
    "--base-model",
    "--quantize",
    "-q",
    "--lora-style",
    "--lora-paths",
    "--lora-scales",
    "--lora-name",
    "--lora-repo-id",
    "--height",
    "--width",
    "--steps",
    "--guidance",
    "--prompt",
    "--prompt-file",
    "--seed",
    "--auto-seeds",
    "--redux-image-paths",
    "--redux-image-strengths",
    "--metadata",
    "--output",
    "--stepwise-image-output-dir",
    "--redux-mode",
    "--interpolation-mode",
}


def recipe(*argv: str) -> Recipe:
    return recipe_of(settings_given(parse(["--prompt", "x", *argv])))


def refusal(*argv: str) -> str:
    with pytest.raises(CommandError) as caught:
        invocation_of(parse(["--prompt", "x", *argv]))
    return str(caught.value)


def spellings() -> set[str]:
    return {option for action in build_parser()._actions for option in action.option_strings}


# -- spelling and defaults -----------------------------------------------------------------------------


def test_every_flag_of_mflux_0_24_s_redux_command_is_known() -> None:
    from mflux.models.flux.cli.flux_generate_redux import build_parser as mflux_parser

    theirs = {option for action in mflux_parser()._actions for option in action.option_strings}
    assert theirs - spellings() == set()


def test_every_flag_of_the_branch_is_known() -> None:
    assert BRANCH_FLAGS - spellings() == set()


def test_the_defaults_are_mflux_s() -> None:
    from mflux.cli.defaults import defaults
    from mflux.models.flux.cli.flux_generate_redux import build_parser as mflux_parser

    theirs = {action.dest: action.default for action in mflux_parser()._actions}
    ours = recipe()
    assert (
        (ours.parameters["width"], ours.parameters["height"])
        == (theirs["width"], theirs["height"])
        == (1024, 1024)
    )
    assert ours.parameters["guidance"] == defaults.GUIDANCE_SCALE
    assert ours.quantize is theirs["quantize"] is None
    leaves = leaf_values(parse(["--prompt", "x"]))
    for name in ("output", "battery_percentage_stop_limit", "low_ram", "metadata"):
        assert leaves[name] == theirs[name], name


@pytest.mark.parametrize(
    "model", ["dev", "schnell", "krea-dev", "dev-krea", "black-forest-labs/FLUX.1-schnell"]
)
def test_the_number_of_steps_is_mflux_s_for_the_model(model: str) -> None:
    from mflux.cli.defaults.defaults import model_inference_steps

    assert recipe("--model", model).parameters["steps"] == model_inference_steps(model)


@pytest.mark.parametrize(
    ("model", "base"),
    [("me/schnell-tuned", None), ("me/my-schnell", None), ("me/mine", "schnell"), ("me/schnellest", None)],
)
def test_a_derived_model_takes_its_base_s_steps_as_in_mflux(model: str, base: str | None) -> None:
    from mflux.cli.defaults.defaults import model_inference_steps

    given = ["--base-model", base] if base else []
    assert recipe("--model", model, *given).parameters["steps"] == model_inference_steps(model, base)


def test_without_a_model_it_is_dev_with_its_redux_adapter() -> None:
    assert (recipe().model, recipe().redux_model) == ("dev", "dev-redux")


@pytest.mark.parametrize("name", ["dev-redux", "black-forest-labs/FLUX.1-Redux-dev"])
def test_naming_the_adapter_means_the_base_it_is_for(name: str) -> None:
    assert recipe("-m", name).model == "dev"


def test_the_given_model_is_used() -> None:
    assert recipe("--model", "krea-dev").model == "krea-dev"
    assert recipe("-m", "black-forest-labs/FLUX.1-Krea-dev").model == "black-forest-labs/FLUX.1-Krea-dev"
    assert (recipe("-m", "tiny").model, recipe("-m", "tiny").redux_model) == ("tiny", "tiny")


def test_a_folder_with_its_own_redux_encoders_supplies_them(small_model: str, tmp_path: Path) -> None:
    assert recipe("-m", small_model).redux_model == small_model
    assert recipe("-m", str(tmp_path)).redux_model == "dev-redux"
    assert recipe("-m", small_model, "--redux-model", "tiny").redux_model == "tiny"
    flags = parse(
        ["--prompt", "x", "-m", small_model, "--redux-model", "tiny", "--redux-image-paths", "a.png"]
    )
    assert invocation_of(flags).workflow.nodes["redux"].inputs["model"] == "tiny"


def test_path_names_the_weights_of_the_model_as_in_mflux_0_10(tmp_path: Path) -> None:
    made = recipe("--model", "schnell", "--path", str(tmp_path))
    assert (made.model, made.parameters["steps"]) == (str(tmp_path), 4)
    assert "--path also needs --model" in refusal("--path", str(tmp_path))


# -- values ---------------------------------------------------------------------------------------------


def test_width_and_height_are_rounded_down_with_a_note() -> None:
    made = invocation_of(parse(["--prompt", "x", "--width", "1000", "--height", "512"]))
    sample = made.workflow.nodes["sample"].inputs
    assert (sample["width"], sample["height"]) == (992, 512)
    assert "width 1000 is rounded down to 992, a multiple of 16" in made.notes


def test_missing_strengths_are_one() -> None:
    made = recipe("--redux-image-paths", "a", "b", "c", "--redux-image-strengths", "0.5")
    assert [picture.strength for picture in made.references] == [0.5, 1.0, 1.0]


def test_more_strengths_than_pictures_are_an_error() -> None:
    message = refusal("--redux-image-paths", "a", "--redux-image-strengths", "0.5", "1")
    assert message == "--redux-image-strengths: 2 for 1 pictures; at most one for each"


def test_the_references_take_mode_kernel_and_fit() -> None:
    made = recipe("--redux-image-paths", "a")
    assert made.references[0].mode == "medium"
    assert made.references[0].interpolation == "area"
    assert (made.references[0].fit, made.references[0].resample) == ("stretch", "lanczos")
    changed = ("--redux-mode", "low", "--interpolation-mode", "nearest", "--redux-fit", "crop")
    picture = recipe("--redux-image-paths", "a", *changed).references[0]
    assert (picture.mode, picture.interpolation, picture.fit, picture.resample) == (
        "low",
        "nearest",
        "crop",
        "bicubic",
    )


@pytest.mark.parametrize(
    ("flag", "attribute", "values"),
    [
        ("--redux-mode", "mode", ["high", "low"]),
        ("--interpolation-mode", "interpolation", ["area", "nearest"]),
        ("--redux-fit", "fit", ["crop", "pad"]),
    ],
)
def test_one_value_is_for_all_pictures_and_several_are_one_for_each(
    flag: str, attribute: str, values: list[str]
) -> None:
    def made(*given: str) -> list[str]:
        pictures = recipe("--redux-image-paths", "a", "b", flag, *given).references
        return [getattr(picture, attribute) for picture in pictures]

    assert made(*values) == values
    assert made(values[1]) == [values[1]] * 2
    assert refusal("--redux-image-paths", "a", "b", "c", flag, *values) == (
        f"{flag}: 2 values for 3 pictures; give one for all, or one for each"
    )
    assert "2 values for 1 picture;" in refusal("--redux-image-paths", "a", flag, *values)
    assert "2 values for 0 pictures;" in refusal(flag, *values)


def test_the_modes_of_all_pictures_are_in_the_name() -> None:
    flags = ["--redux-image-paths", "a", "b", "--redux-mode", "high", "low", "--output", "{redux_mode}.png"]
    made = invocation_of(parse(["--prompt", "x", "--model", "tiny", *flags]))
    assert [path.name for path in made.pictures.values()] == ["high-low.png"]


def test_seeds_are_taken_once_each_in_their_order() -> None:
    assert recipe("--seed", "7", "3", "7").seeds == (7, 3)


def test_auto_seeds_gives_that_many_different_seeds() -> None:
    seeds = recipe("--auto-seeds", "5").seeds
    assert len(set(seeds)) == 5
    assert all(0 <= seed <= 10_000_000 for seed in seeds)


def test_the_default_seed_is_the_time() -> None:
    assert abs(recipe().seeds[0] - time.time()) < 60


def test_loras_in_all_three_spellings() -> None:
    def loras(*argv: str) -> list[tuple[str, float]]:
        return [(lora.path, lora.scale) for lora in recipe(*argv).loras]

    style = ("ali-vilab/In-Context-LoRA:film-storyboard.safetensors", 1.0)
    assert loras("--lora", "a", "0.7", "--lora", "b") == [("a", 0.7), ("b", 1.0)]
    assert loras("--lora-paths", "a", "b", "--lora-scales", "0.4") == [("a", 0.4), ("b", 1.0)]
    assert loras("--lora", "a", "0.5", "--lora-style", "storyboard") == [("a", 0.5), style]
    assert loras("--lora-paths", "a", "--lora-style", "storyboard") == [("a", 1.0), style]
    named = ("--lora-name", "f", "--lora-repo-id", "o/r")
    assert loras(*named, "--lora-scales", "0.5") == [("o/r:f.safetensors", 0.5)]


def test_the_prompt_may_come_from_a_file_or_be_empty(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("  an old  mill\n", encoding="utf-8")
    assert settings_given(parse(["--prompt-file", str(file)])).prompt == "an old  mill"
    assert settings_given(parse(["--prompt", ""])).prompt == ""
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(CommandError, match="is empty"):
        settings_given(parse(["--prompt-file", str(file)]))


def test_a_dash_reads_the_prompt_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe\n"))
    assert settings_given(parse(["--prompt", "-"])).prompt == "from a pipe"


def test_tiles_are_512_unless_another_size_is_given() -> None:
    def size(*argv: str) -> int:
        return settings_given(parse(["--prompt", "x", *argv])).parameters.get("tile_size", 0)

    assert size() == 0
    assert size("--vae-tiling") == size("--low-ram") == 512
    assert size("--vae-tile-size", "256") == size("--low-ram", "--vae-tile-size", "256") == 256


# -- refused by name ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["--negative-prompt", "blur"], "--negative-prompt"),
        (["--scheduler", "flow_match_euler_discrete"], "--scheduler flow_match_euler_discrete"),
        (["--vae-tiling-split", "vertical"], "--vae-tiling-split"),
        (["--bake-lora"], "--bake-lora"),
        (["--lora-repo-id", "org/name"], "--lora-name"),
        (["--lora-style", "nouveau"], "nouveau"),
        (["--lora", "a", "b", "c"], "--lora a b c"),
        (["--lora", "a", "strong"], "'strong' is not a number"),
        (["--lora", "a", "--lora-scales", "1"], "cannot be combined"),
        (["--lora-scales", "1"], "--lora-scales without --lora-paths"),
        (["--redux-image-strengths", "1"], "--redux-image-strengths without --redux-image-paths"),
        (["--seed", "1", "--auto-seeds", "2"], "--seed and --auto-seeds"),
        (["--auto-seeds", "20000000"], "--auto-seeds 20000000"),
        (["--base-model", "qwen-image"], "--base-model qwen-image"),
        (["--output", "picture"], "--output picture"),
        (["--output", "{steps}.png"], "only {seed} and {redux_mode}"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(argv: list[str], named: str) -> None:
    assert named in refusal(*argv)


def test_a_byte_order_mark_is_not_part_of_the_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "p.txt"
    file.write_bytes(b"\xef\xbb\xbfa fox\r\n")
    assert settings_given(parse(["--prompt-file", str(file)])).prompt == "a fox"
    monkeypatch.setattr("sys.stdin", io.StringIO("\ufeffa fox\n"))
    assert settings_given(parse(["--prompt", "-"])).prompt == "a fox"


def test_a_missing_prompt_file_is_named() -> None:
    with pytest.raises(CommandError, match=r"--prompt-file nowhere\.txt cannot be read"):
        invocation_of(parse(["--prompt-file", "nowhere.txt"]))


@pytest.mark.parametrize(
    "argv",
    [
        ["--redux-mode", "weak"],
        ["--interpolation-mode", "linear"],
        ["--quantize", "7"],
        ["--seed", "-1"],
        ["--vae-tile-size", "100"],
        ["--mlx-cache-limit-gb", "0"],
        ["--guidance", "nan"],
        ["--prompt-file", "both.txt"],
        ["--red", "abbreviated"],
        ["--image-path", "img2img.png"],
    ],
)
def test_a_wrong_value_or_an_unknown_flag_ends_with_code_2(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--prompt", "x", *argv])
    assert caught.value.code == 2
    assert argv[0] in capsys.readouterr().err


def test_without_any_prompt_the_message_says_how_to_give_none() -> None:
    with pytest.raises(CommandError, match='--prompt ""'):
        invocation_of(parse([]))


def test_a_base_model_that_the_checkpoint_contradicts_is_refused(small_model: str) -> None:
    assert "is a dev model by its own files" in refusal("-m", small_model, "--base-model", "schnell")
    assert recipe("-m", small_model, "--base-model", "dev").model == small_model


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, spec.options[-1] if spec.options else 0.5) for name, spec in flag_parameters().items()],
)
def test_each_parameter_of_sampling_that_mflux_lacks_has_a_flag(name: str, value: Any) -> None:
    made = recipe(f"--{name.replace('_', '-')}", str(value))
    assert made.parameters[name] == value != recorded_parameters()[name].default
    assert name not in recipe().parameters


def test_every_flag_has_an_effect() -> None:
    """The value of each flag is read somewhere, from its group, outside of the parser."""
    groups = {field.name for field in fields(Flags)} - {"verbose"} | {"flags"}  # names of variables, too
    read = set()
    for path in (*Path(mflux_command.__file__).parent.glob("*.py"), Path(consent.__file__)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] in groups:
                read.add(node.attr)
    assert set(leaf_values(parse([]))) - read == set()


# -- the dataclass --------------------------------------------------------------------------------------

_EVERY_FLAG = """
    --verbose --prompt-file p.txt --negative-prompt n --redux-image-paths a b --redux-image-strengths 1 0.5
    --redux-mode low high --interpolation-mode area --redux-fit crop pad --model dev --path f --base-model dev
    --redux-model r --quantize 4 --lora a 1 --lora b --lora-paths a --lora-scales 1 --lora-style s
    --lora-name n --lora-repo-id o/r --bake-lora --seed 1 2 --auto-seeds 2 --steps 4 --guidance 3 --width 64
    --height 64 --scheduler linear --output o.png --metadata --no-exif --config-from-metadata c.png
    --stepwise-image-output-dir d --save-graph g.json --low-ram --mlx-cache-limit-gb 1 --vae-tiling
    --vae-tile-size 128 --vae-tiling-split w --battery-percentage-stop-limit 9 --no-cache --cache-dir c
    --sampler euler --allow-read d --allow-download
"""
EVERY_FLAG = _EVERY_FLAG.split()


def test_every_flag_is_a_field_and_every_field_a_flag() -> None:
    names = leaf_values(parse([])).keys() - {"parameters"} | flag_parameters().keys()
    assert sorted(names) == destinations(build_parser())


@pytest.mark.parametrize("argv", [[], EVERY_FLAG, ["--prompt", "x", "--no-bake-lora", "--step-reuse", "0.5"]])
def test_every_value_has_the_type_of_its_field_and_cannot_be_changed(argv: list[str]) -> None:
    check_types_and_frozenness(parse(argv))


def test_the_sample_command_line_gives_every_flag() -> None:
    default, given = leaf_values(parse([])), leaf_values(parse(EVERY_FLAG))
    assert [name for name in given if given[name] == default[name]] == ["prompt"]
