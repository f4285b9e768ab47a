"""``run-graph --doctor``: what it compares, what it says, and that it notices what is off."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import mlx.core as mx
import pytest
from model_layouts import latent_diffusion_vae, write

from run_graph.runtime.cli.main import main
from run_graph.runtime.doctor import agreement, examination, places, speed
from run_graph.runtime.doctor.agreement import TOLERANCES, Agreement
from run_graph.runtime.doctor.models import known_models
from run_graph.runtime.doctor.text import _fits
from run_graph.runtime.models import checkpoints
from run_graph.runtime.models.store import ModelStore

Fault = Callable[[dict[str, mx.array]], None]


@pytest.fixture(autouse=True)
def _measure_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_SECONDS", 0.0)


@pytest.fixture
def spoilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Fault], None]:
    """Replaces the built-in model by a copy in which a component's weights are changed."""

    def spoil(component: str, change: Fault) -> None:
        folder = tmp_path / "tiny"
        shutil.copytree(checkpoints.TINY_FOLDER, folder)
        (file,) = (folder / component).glob("*.safetensors")
        weights: Any = mx.load(str(file))
        change(weights)
        mx.save_safetensors(str(file), weights)
        monkeypatch.setattr(checkpoints, "TINY_FOLDER", folder)

    return spoil


def report(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What ``--doctor --json`` printed."""
    (line,) = capsys.readouterr().out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def off(found: dict[str, Any]) -> list[str]:
    return [each["name"] for each in found["agreements"] if not each["ok"]]


def test_nothing_is_off_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--doctor"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "Everything is as it should be."
    for expected in (
        "mlx",
        "weights in float32",
        "picture redux",
        "s a step",
        "sampling (transformer)",
        "Hub",
    ):
        assert expected in printed
    assert len(max(printed.splitlines(), key=len)) < 140


def test_files_in_the_users_folders_are_listed_and_wrong_settings_are_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "models" / "vae" / "ae.safetensors", latent_diffusion_vae())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(agreement, "PICTURES", ())
    Path("run-graph.toml").write_text('models = ["models"]')
    assert main(["--doctor"]) == 0
    assert re.search(r"ae\.safetensors +autoencoder +6\.\d MB", capsys.readouterr().out)
    Path("run-graph.toml").write_text("models = 1")
    assert main(["--doctor", "--quiet"]) == 1
    assert "is not a list of folders" in capsys.readouterr().err


def test_what_fits_only_without_the_modulation_layers_is_tight(capsys: pytest.CaptureFixture[str]) -> None:
    """FLUX.1's transformer has 11.9 billion weights, of which 3.2 billion make modulations."""
    (dev,) = (model for model in known_models(2) if model.name == "dev")
    transformer = next(part for part in dev.parts if part.component == "transformer")
    assert transformer.nbytes[None] == 23.8e9
    assert transformer.least[None] / transformer.nbytes[None] == pytest.approx(0.7336, abs=1e-3)
    for budget, said in ((24e9, "23.8 GB"), (18e9, "17.5 GB, tight"), (17e9, "17.5 GB, too large")):
        assert _fits(transformer, int(budget))[0] == said


def test_a_changed_weight_is_noticed_and_is_the_exit_code(
    spoilt: Callable[[str, Fault], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def change(weights: dict[str, mx.array]) -> None:
        weights["proj_out.bias"] = weights["proj_out.bias"] + 0.01

    spoilt("transformer", change)
    assert main(["--doctor", "--json"]) == 1
    found = report(capsys)
    assert not found["ok"]
    assert set(off(found)) == {"transformer", "transformer, 4 bits", "picture redux", "picture text_to_image"}
    assert len(found["faults"]) == 4


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_values_that_are_no_numbers_are_noticed(
    spoilt: Callable[[str, Fault], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def change(weights: dict[str, mx.array]) -> None:
        weights["redux_up.bias"] = mx.full(weights["redux_up.bias"].shape, 3e38)  # overflows behind

    spoilt("image_embedder", change)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreement, "PICTURES", ())
        assert main(["--doctor", "--json"]) == 1
    assert off(report(capsys)) == ["Redux"]


def test_rounding_in_bfloat16_is_within_its_tolerance_and_beyond_that_of_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("loading", "budget"):
        monkeypatch.setattr(f"run_graph.runtime.models.{module}.compute_dtype", lambda: mx.bfloat16)
    monkeypatch.setattr(agreement, "PICTURES", ("text_to_image",))
    found = {each.name: each for each in agreement.compare(ModelStore(), "bfloat16")}
    assert all(each.ok for each in found.values())
    strict = TOLERANCES["float32"]
    assert found["transformer"].error > strict.network
    assert found["picture text_to_image"].error > strict.picture


def test_each_number_format_that_weights_may_have_has_a_tolerance() -> None:
    assert set(TOLERANCES) == {"float32", "bfloat16"}
    assert all(limit.network < 0.1 and limit.picture < 32 for limit in TOLERANCES.values())


@pytest.mark.parametrize(
    ("answer", "login"),
    [
        (httpx.Response(200, json={"name": "ada"}), "logged in"),
        (httpx.Response(401), "refused"),
        (httpx.Response(500), "not asked"),
        (httpx.ConnectError("no route"), "not asked"),
    ],
)
def test_what_the_hub_says_of_the_user(
    answer: httpx.Response | Exception, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get(*arguments: Any, **options: Any) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setenv("HF_TOKEN", "hf_abc")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(httpx, "get", get)
    assert places.hub().login == login


def test_offline_the_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abc")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(httpx, "get", None)
    assert places.hub().login == "not asked"


def test_a_refused_token_and_a_folder_that_cannot_be_written_are_faults() -> None:
    found = examination.Examination(
        machine=None,  # type: ignore[arg-type]
        agreements=(Agreement("T5", 0.0, 1e-4),),
        speed=None,  # type: ignore[arg-type]
        models=(),
        files=(),
        folders=(places.Folder("results", "/results", 1, writable=False),),
        hub=places.Hub("https://huggingface.co", "refused", "the token is not valid"),
    )
    folder, hub = found.faults()
    assert folder.startswith("/results (results) cannot be written to")
    assert "refuses" in hub
