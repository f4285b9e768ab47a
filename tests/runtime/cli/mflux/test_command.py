"""The command as a whole, on a small model: what it writes, prints and returns."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from small import SMALL

from run_graph.graph.formats.api import load_workflow, parse_workflow
from run_graph.runtime.cli import main as cli
from run_graph.runtime.cli.mflux import battery
from run_graph.runtime.cli.mflux.main import main
from run_graph.runtime.engine.session import Session
from run_graph.runtime.images.exif import read_mflux_comment
from run_graph.runtime.images.png_text import read_text
from run_graph.runtime.units import parse_bytes

PHOTO = "images/sunset.png"


@pytest.fixture
def run(project: Path, small_model: str) -> Any:
    """The command on the small model, at 32 pixels and two steps, in a folder with pictures."""

    def command(*argv: str) -> int:
        given = ["--model", small_model, "--width", "32", "--height", "32", "--steps", "2", *argv]
        return main(given if "--prompt" in argv or "-C" in argv else ["--prompt", "a mill", *given])

    return command


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def settings(path: str | Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(read_text(Path(path))["run_graph"])
    return document


def test_each_of_several_seeds_gives_its_own_picture(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--redux-image-paths", PHOTO, "--seed", "5", "6", "7") == 0
    names = ["image_seed_5.png", "image_seed_6.png", "image_seed_7.png"]
    assert sorted(capsys.readouterr().out.split()) == names  # saved on another thread, in any order
    assert len({pixels(name).tobytes() for name in names}) == 3
    assert [settings(name)["seed"] for name in names] == [5, 6, 7]


def test_a_seed_gives_the_same_picture_alone_and_among_others(run: Any) -> None:
    run("--redux-image-paths", PHOTO, "--seed", "5", "6")
    run("--redux-image-paths", PHOTO, "--seed", "6", "--output", "alone.png")
    assert np.array_equal(pixels("alone.png"), pixels("image_seed_6.png"))


def test_a_picture_contains_the_graph_of_its_own_seed_only(run: Any) -> None:
    run("--redux-image-paths", PHOTO, "--seed", "5", "6")
    graph = parse_workflow(read_text(Path("image_seed_6.png"))["prompt"])
    seeds = [spec.inputs["seed"] for spec in graph.nodes.values() if spec.class_type == "FluxSample"]
    assert seeds == [6]


def test_nothing_but_the_pictures_is_written(run: Any, project: Path) -> None:
    before = set(project.parent.rglob("*"))
    run("--seed", "1", "--output", "out/{seed}.png")
    assert {path.name for path in set(project.parent.rglob("*")) - before} == {"out", "1.png"}


def test_an_existing_picture_stays(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run("--seed", "1")
    first = Path("image.png").read_bytes()
    run("--seed", "2")
    assert capsys.readouterr().out.split() == ["image.png", "image_1.png"]
    assert Path("image.png").read_bytes() == first


def test_the_metadata_has_what_the_branch_wrote_and_what_it_forgot(run: Any) -> None:
    run("--redux-image-paths", PHOTO, PHOTO, "--redux-image-strengths", "0.5", "--seed", "1", "--metadata")
    written = json.loads(Path("image.metadata.json").read_text(encoding="utf-8"))
    assert written == settings("image.png") == read_mflux_comment(Path("image.png"))
    assert written["redux_mode"] == "medium"
    assert written["redux_image_paths"] == [PHOTO, PHOTO]
    assert written["redux_image_strengths"] == [0.5, 1.0]
    assert written["interpolation_mode"] == "area"
    assert written["redux_tokens"] == [81, 81]
    assert (written["redux_fit"], written["redux_resample"]) == ("stretch", "lanczos")
    assert written["base_model"] == "dev"
    assert (written["lora_paths"], written["lora_scales"]) == ([], [])


def test_a_lora_changes_the_picture_and_is_recorded(run: Any) -> None:
    width, rank = SMALL.heads * SMALL.head_size, 4
    layer = "transformer.transformer_blocks.0.attn.to_q"
    down, up = np.random.default_rng(0).standard_normal((2, rank, width), np.float32)
    tensors = {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": np.ascontiguousarray(up.T)}
    save_file(tensors, "style.safetensors")
    run("--seed", "1")
    assert run("--seed", "1", "--lora", "style.safetensors", "0.5", "--output", "adapted.png") == 0
    assert not np.array_equal(pixels("adapted.png"), pixels("image.png"))
    written = settings("adapted.png")
    assert (written["lora_paths"], written["lora_scales"]) == (["style.safetensors"], [0.5])
    assert main(["-C", "adapted.png", "--output", "again.png"]) == 0
    assert np.array_equal(pixels("again.png"), pixels("adapted.png"))


@pytest.mark.parametrize("source", ["image.png", "image.metadata.json"])
def test_a_picture_can_be_made_again_from_its_own_settings(run: Any, source: str) -> None:
    run(
        "--redux-image-paths",
        PHOTO,
        "--redux-mode",
        "low",
        "--redux-fit",
        "crop",
        "--seed",
        "3",
        "--metadata",
    )
    assert main(["-C", source, "--output", "again.png"]) == 0
    assert np.array_equal(pixels("again.png"), pixels("image.png"))
    assert main(["-C", source, "--redux-mode", "high", "--output", "other.png"]) == 0
    assert not np.array_equal(pixels("other.png"), pixels("image.png"))


def test_modes_of_each_picture_are_recorded_and_used_again(run: Any) -> None:
    run("--redux-image-paths", PHOTO, PHOTO, "--redux-mode", "low", "high", "--seed", "3")
    assert settings("image.png")["redux_mode"] == ["low", "high"]
    assert settings("image.png")["redux_tokens"] == [36, 169]
    assert main(["-C", "image.png", "--output", "again.png"]) == 0
    assert np.array_equal(pixels("again.png"), pixels("image.png"))
    assert main(["-C", "image.png", "--redux-mode", "high", "low", "--output", "other.png"]) == 0
    assert settings("other.png")["redux_mode"] == ["high", "low"]


def test_run_graph_makes_a_jpeg_s_picture_again(run: Any) -> None:
    run("--redux-image-paths", PHOTO, "--seed", "3")
    run("--redux-image-paths", PHOTO, "--seed", "3", "--output", "small.jpg")
    assert cli.main(["small.jpg", "--quiet"]) == 0
    assert np.array_equal(pixels("output/small_00001_.png"), pixels("image.png"))


def test_the_saved_graph_makes_the_same_picture_under_run_graph(run: Any) -> None:
    assert run("--redux-image-paths", PHOTO, "--seed", "3", "--save-graph", "graph.json") == 0
    assert load_workflow(Path("graph.json")).nodes["sample"].inputs["seed"] == 3
    assert cli.main(["graph.json", "--quiet"]) == 0
    assert np.array_equal(pixels("output/image_00001_.png"), pixels("image.png"))


def test_stepwise_pictures_end_with_the_picture_itself(run: Any) -> None:
    run("--seed", "1", "2", "--stepwise-image-output-dir", "steps")
    expected = {f"seed_{seed}_{rest}.png" for seed in (1, 2) for rest in ("composite", *_STEPS)}
    assert {path.name for path in Path("steps").iterdir()} == expected
    assert np.array_equal(pixels("steps/seed_2_step2of2.png"), pixels("image_seed_2.png"))
    assert not np.array_equal(pixels("steps/seed_2_step1of2.png"), pixels("image_seed_2.png"))
    strip = pixels("steps/seed_1_composite.png")
    assert strip.shape == (32, 96, 3)
    assert np.array_equal(strip[:, 64:], pixels("image_seed_1.png"))


_STEPS = ("step0of2", "step1of2", "step2of2")


def test_stepwise_pictures_of_an_interrupted_run_are_laid_side_by_side(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from run_graph.runtime.cli.mflux.stepwise import StepwisePictures

    write_step = StepwisePictures._write_step

    def interrupted(self: StepwisePictures, sampling: Any, event: Any) -> None:
        write_step(self, sampling, event)
        if event.value == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(StepwisePictures, "_write_step", interrupted)
    assert run("--seed", "1", "--stepwise-image-output-dir", "steps") == 130
    assert pixels("steps/seed_1_composite.png").shape == (32, 64, 3)
    assert not Path("image.png").exists()


def test_low_ram_and_a_cache_limit_reach_the_store_and_change_no_picture(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from run_graph.runtime.models.store import ModelStore

    made: list[dict[str, Any]] = []
    begin = ModelStore.__init__

    def recording(self: ModelStore, **given: Any) -> None:
        made.append(given)
        begin(self, **given)

    run("--redux-image-paths", PHOTO, "--seed", "3")
    monkeypatch.setattr(ModelStore, "__init__", recording)
    flags = ("--low-ram", "--mlx-cache-limit-gb", "0.5", "--output", "low.png")
    assert run("--redux-image-paths", PHOTO, "--seed", "3", *flags) == 0
    assert made == [{"low_ram": True, "cache_limit": 500_000_000}]
    assert np.array_equal(pixels("low.png"), pixels("image.png"))  # smaller than a tile


def test_the_peak_of_mlx_s_memory_is_printed(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run("--seed", "1")
    last = capsys.readouterr().err.splitlines()[-1]
    amount = last.removeprefix("mflux-generate-redux-advanced: peak MLX memory: ")
    assert parse_bytes(amount) > 1_000_000


def test_an_empty_battery_stops_the_run_before_sampling(
    run: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(battery, "battery_level", lambda: 4)
    assert run("--seed", "1") == 130
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(
            ": stopped: the battery is at 4 %, the limit is 5 %; "
            "run it again to go on: the finished stages are kept"
        )
    )
    assert not Path("image.png").exists()
    assert run("--seed", "1", "-B", "3") == 0


def test_faults_of_the_graph_name_the_command_and_the_place(
    run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--redux-image-paths", "sunrise.png") == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("mflux-generate-redux-advanced: node 'photo' (LoadImage), input 'image'")


def test_a_failing_stage_ends_with_code_1(
    run: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from run_graph.runtime.sampling import batch as sampling

    def broken(*_: Any) -> Any:
        raise ValueError("the well is dry")

    monkeypatch.setattr(sampling, "initial_noise", broken)
    assert run("--seed", "1") == 1
    assert "'sample' (FluxSample) failed: the well is dry" in capsys.readouterr().err
    assert run("--seed", "1", "--verbose") == 1
    assert "Traceback" in capsys.readouterr().err


def test_verbose_logs_the_details_of_our_own_modules(run: Any) -> None:
    from run_graph.runtime.models.lora import logger

    logging.getLogger("run_graph").setLevel(logging.NOTSET)  # another test may have asked for details
    assert not logger.isEnabledFor(logging.DEBUG)
    assert run("--seed", "1", "--verbose") == 0
    assert logger.isEnabledFor(logging.DEBUG)


def test_ctrl_c_ends_with_code_130(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "run_together", interrupted)
    assert run("--seed", "1") == 130


def test_help_imports_no_model_code_and_names_every_flag() -> None:
    code = (
        "import sys\n"
        "from run_graph.runtime.cli.mflux.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'mlx', 'mflux', 'transformers', 'huggingface_hub', 'numpy', 'PIL'}\n"
        "assert not heavy & {name.split('.')[0] for name in sys.modules}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--redux-mode" in done.stdout
    assert "--config-from-metadata" in done.stdout
