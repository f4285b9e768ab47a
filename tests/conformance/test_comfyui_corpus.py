"""Workflows of users: those that lack no class run on ``tiny``; of the others, what they lack.

Sources and licences are in the README of each folder.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from run_graph.runtime.cli import main as cli

OWN = Path(__file__).parent / "corpus"
EDITOR = Path(__file__).parents[1] / "graph" / "formats" / "editor" / "data" / "corpus"
FILES = {
    path.stem: path
    for path in (*sorted(OWN.glob("*.json")), *sorted(EDITOR.glob("*.json")))
    if not path.name.endswith(".api.json")
}
TRIAL = ["--model", "tiny", "--max-pixels", "4096"]

# What each file needs that is not here.
FOREIGN = {
    "clownsampling": [
        "ClownsharKSampler_Beta",
        "Frequency Separation Hard Light",
        "Image Median Blur",
        "SharkOptions_UltraCascade_Latent_Beta",
        "UltraCascade_Loader",
        "UltraCascade_PerturbedAttentionGuidance",
    ],
    "nunchaku_redux": [
        "NunchakuFluxDiTLoader",
    ],
    "nunchaku_redux_api": [
        "NunchakuFluxDiTLoader",
    ],
    "pencil_sketch": [
        "ApplyPulidFlux",
        "Ask_Gemini",
        "DepthAnythingV2Preprocessor",
        "InstructPixToPixConditioning",
        "OllamaVision",
        "PulidFluxEvaClipLoader",
        "PulidFluxInsightFaceLoader",
        "PulidFluxModelLoader",
        "RemoteVAEDecode",
        "VixCheckboxLogic",
        "VixUiCheckboxLogic",
        "VixUiList",
    ],
    "regional_redux": [
        "ClownRegionalConditioning",
        "ClownRegionalConditionings",
        "ClownsharKSampler_Beta",
        "FluxLoader",
        "MaskFlip+",
        "ReFluxPatcher",
        "VAEEncodeAdvanced",
    ],
    "context_window_inpaint": [
        "CR Simple Image Compare",
        "CR String To Combo",
        "ConcatContextWindow",
        "CreateContextWindow",
        "GetImageSize+",
        "GrowMaskWithBlur",
        "Seed",
        "easy float",
        "easy int",
    ],
}


def checked(file: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    cli.main([file, "--check", "--json", *TRIAL])
    verdict: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[0])
    return verdict


def with_pictures(name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The verdict on a file once the pictures that it names are there."""
    shutil.copy(FILES[name], "workflow.json")
    for reason in checked("workflow.json", capsys)["reasons"]:
        if reason["kind"] == "picture" and reason["name"]:
            picture = Path(reason["name"])
            assert not picture.is_absolute()
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (48, 64), "orange").save(picture, "PNG")
    return checked("workflow.json", capsys)


@pytest.mark.parametrize("name", FILES)
def test_what_each_file_lacks_and_whether_it_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    verdict = with_pictures(name, capsys)
    missing = {each["class_type"] for each in verdict["missing_classes"]}
    assert sorted(missing) == FOREIGN.get(name, [])
    if missing:
        assert verdict["verdict"] == "cannot run"
        return
    assert verdict["reasons"] == []
    assert cli.main(["workflow.json", "--quiet", *TRIAL]) == 0
    assert list(tmp_path.glob("output/**/*.png"))
