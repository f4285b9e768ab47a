"""``--models-dir`` and ``--models``: the files in the folders are listed, and draw the picture."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from model_layouts import write_models_folder
from PIL import Image
from small import shipped, with_each

from run_graph.runtime.cli.main import main
from run_graph.runtime.models.library.choices import file_names
from run_graph.runtime.models.library.settings import also_searching


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_models_folder(tmp_path_factory.mktemp("comfyui"))
    (folder / "loras").mkdir()
    mx.save_safetensors(str(folder / "loras" / "Ink.safetensors"), {"a.lora_A.weight": mx.zeros((4, 4))})
    return folder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUN_GRAPH_MODELS", raising=False)
    monkeypatch.chdir(tmp_path)


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    """The events of ``--models --json`` by the files' names."""
    assert main(["--models", "--json", "--models-dir", *arguments]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {event["name"]: event for event in events}


def test_every_file_is_listed_with_what_it_holds(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys, str(models))
    kinds = {name: (event["kind"], event["folder"]) for name, event in found.items()}
    assert kinds == {
        "FLUX/flux1-dev.safetensors": ("transformer", "diffusion_models"),
        "ae.safetensors": ("autoencoder", "vae"),
        "Renamed.SFT": ("autoencoder", "vae"),
        "other.safetensors": ("unknown", "vae"),
        "clip_l.safetensors": ("CLIP", "text_encoders"),
        "t5xxl_fp16.safetensors": ("T5", "text_encoders"),
        "sigclip_vision_patch14_384.safetensors": ("SigLIP", "clip_vision"),
        "flux1-redux-dev.safetensors": ("Redux", "style_models"),
        "everything.safetensors": ("transformer + T5 + CLIP + autoencoder", "checkpoints"),
        "Ink.safetensors": ("LoRA", "loras"),
    }
    assert found["ae.safetensors"]["precision"] == "float32"
    assert found["ae.safetensors"]["nbytes"] == (models / "vae" / "ae.safetensors").stat().st_size
    assert "holds none of FLUX.1's networks" in found["other.safetensors"]["note"]


def test_the_table_is_aligned_and_says_where_it_looked(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--models", "--models-dir", str(models)]) == 0
    printed = capsys.readouterr()
    rows = [line for line in printed.out.splitlines() if not line.startswith("  ")]
    assert len({row.index("~/") for row in rows[1:]}) == 1  # the tests' models are in the home folder
    assert "10 files" in printed.err
    assert main(["--models"]) == 0
    assert "no folder of models is named" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--models", "--models-dir", "gone"]) == 2
    assert "--models-dir gone: there is no such folder" in capsys.readouterr().err
    (tmp_path / "run-graph.toml").write_text('models = ["gone"]')
    assert main(["--models"]) == 0
    assert (
        f"{tmp_path / 'gone'}, named in {tmp_path / 'run-graph.toml'}, is not there"
        in capsys.readouterr().err
    )
    (tmp_path / "run-graph.toml").write_text("models = 1")
    assert main(["--models"]) == 2
    assert "is not a list of folders" in capsys.readouterr().err


def test_names_in_a_workflow_draw_the_picture_of_the_files(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workflow = with_each(shipped("text_to_image"), "FluxSample", width=32, height=32, steps=2)
    Path("graph.json").write_text(workflow.dumps())
    assert main(["graph.json", "--set", "flux.model=tiny", "--no-cache"]) == 0
    name = ["--set", "flux.model=flux\\FLUX1-dev.safetensors", "--models-dir", str(models)]
    assert main(["graph.json", "--no-cache", *name]) == 0
    first, second = (np.asarray(Image.open(path)) for path in capsys.readouterr().out.split())
    np.testing.assert_array_equal(first, second)


def test_comfyuis_loaders_read_the_files_without_a_word(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = json.loads(
        with_each(shipped("text_to_image"), "FluxSample", width=32, height=32, steps=2).dumps()
    )
    del nodes["flux"]
    nodes |= {
        "unet": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors"}},
        "vae": {"class_type": "VAELoader", "inputs": {"vae_name": "renamed.sft"}},
        "clip": {
            "class_type": "DualCLIPLoader",
            "inputs": {
                "clip_name1": "clip_l.safetensors",
                "clip_name2": "T5XXL_fp16.safetensors",
                "type": "flux",
            },
        },
    }
    nodes["unet"]["inputs"]["weight_dtype"] = "default"
    nodes["prompt"]["inputs"]["text_encoders"] = ["clip", 0]
    nodes["sample"]["inputs"]["flux"] = ["unet", 0]
    nodes["image"]["inputs"]["vae"] = ["vae", 0]
    Path("graph.json").write_text(json.dumps(nodes))
    assert main(["graph.json", "--offline", "--strict", "--models-dir", str(models)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_name_that_is_nowhere_gets_one_message(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("graph.json").write_text(shipped("text_to_image").dumps())
    arguments = ["graph.json", "--set", "flux.model=flux2.safetensors", "--models-dir", str(models)]
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert "There is no file 'flux2.safetensors' for a FLUX.1 model" in message
    assert f"{models / 'diffusion_models'} (FLUX/flux1-dev.safetensors)" in message


def test_an_editor_is_offered_the_files_and_the_well_known_ones(models: Path) -> None:
    with also_searching([models]):
        offered = file_names("vae")
        assert offered == ["ae_tiny.safetensors", "ae.safetensors", "other.safetensors", "Renamed.SFT"]
        assert file_names("loras") == ["Ink.safetensors"]
        (models / "vae" / "new.safetensors").touch()
        assert "new.safetensors" in file_names("vae")
        (models / "vae" / "new.safetensors").unlink()
