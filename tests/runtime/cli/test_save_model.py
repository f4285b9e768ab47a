"""``--save-model``: what it writes loads again to the same bits, in mflux too, and is whole or not there."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import pytest
from mflux.models.common.weights.loading.weight_loader import WeightLoader
from small import edit

from run_graph.nodes import SaveModel
from run_graph.runtime.cli.main import main
from run_graph.runtime.files.atomic import SaveError
from run_graph.runtime.files.new_folder import new_folder
from run_graph.runtime.files.temporary import PREFIX
from run_graph.runtime.models import saving
from run_graph.runtime.models.assembly import named
from run_graph.runtime.models.checkpoint_facts import shifts_sigmas
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import COMPONENTS, FLUX_PARTS
from run_graph.runtime.models.handles import Flux
from run_graph.runtime.models.inspection import faults, is_saved_by_mflux, read_header, saved_bits
from run_graph.runtime.models.loading import load_component
from run_graph.runtime.models.lora_files import Lora
from run_graph.runtime.models.resolution import resolve_flux
from run_graph.runtime.testing import NodeBench


@pytest.mark.parametrize("bits", [4, None])
def test_every_component_loads_again_to_the_same_bits(
    bits: int | None, project: Path, small_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "_LARGEST_FILE", 100_000)  # several files for a component
    settings = [each for name in ("flux", "redux") for each in ("--set", f"{name}.quantize={bits or 'none'}")]
    assert main([str(project), "--save-model", "saved/small", *settings]) == 0

    saved, original = Path("saved/small"), Checkpoint("small", folder=Path(small_model))
    assert len(list((saved / "transformer").glob("*.safetensors"))) > 1
    for component in COMPONENTS:
        assert is_saved_by_mflux(saved / component)
        assert saved_bits(saved / component) == bits
        there = load_component(Checkpoint("saved", folder=saved.absolute()), component)
        here = load_component(original, component, bits)
        assert (there.bits, there.config) == (here.bits, here.config)
        weights, expected = named(there.module.parameters()), named(here.module.parameters())
        assert weights.keys() == expected.keys()
        assert all(mx.array_equal(weights[name], array) for name, array in expected.items())


def test_mflux_reads_what_was_saved(project: Path) -> None:
    assert main([str(project), "--save-model", "saved", "--set", "flux.quantize=8"]) == 0
    weights, bits, version = WeightLoader._try_load_mflux_format(Path("saved/transformer"))
    assert (bits, version) == (8, "0.24.0")
    assert weights["transformer_blocks"][0]["attn"]["to_q"]["scales"].shape[0] == 128


def test_the_saved_model_draws_the_same_picture(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(project), "--save-model", "saved", "--set", "flux.quantize=4"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(Path("saved").absolute())]
    assert main([str(project), "--no-cache", "--set", "flux.quantize=4"]) == 0
    redux = ["--set", "redux.model=saved"]
    assert main([str(project), "--no-cache", "--set", "flux.model=saved", *redux]) == 0
    first, second = (mx.array(_pixels(path)) for path in capsys.readouterr().out.split())
    assert mx.array_equal(first, second)


def _pixels(path: str) -> Any:
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(path))


def test_without_a_file_the_settings_say_what_is_saved(tmp_path: Path) -> None:
    target = tmp_path / "tiny"
    assert main(["--save-model", str(target), "--set", "flux.model=tiny-schnell"]) == 0
    saved = resolve_flux(str(target))
    assert faults(target, FLUX_PARTS) == []
    assert not (target / "image_encoder").exists()
    assert not shifts_sigmas(saved)
    names = read_header(target / "transformer" / "0.safetensors").tensors
    assert not any("guidance" in name for name in names)
    assert {tensor.dtype for tensor in read_header(target / "vae" / "0.safetensors").tensors.values()} == {
        "BF16"
    }


def test_a_folder_that_exists_stays_as_it_is(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("saved").mkdir()
    Path("saved/mine.txt").write_text("mine")
    assert main([str(project), "--save-model", "saved"]) == 2
    assert "already exists; choose another name" in capsys.readouterr().err
    assert os.listdir("saved") == ["mine.txt"]


def test_a_failure_leaves_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=10))
    assert main([str(project), "--save-model", "saved/small"]) == 1
    assert "free; free some space" in capsys.readouterr().err
    assert os.listdir("saved") == []


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from run_graph.runtime.files.new_folder import new_folder\n"
        "with new_folder(Path(sys.argv[1])) as place:\n"
        "    (place / 'part').write_text('x'); os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False)
    assert [name for name in os.listdir(tmp_path) if name.startswith(PREFIX)]
    with new_folder(tmp_path / "b") as first, new_folder(tmp_path / "c"):
        assert len([name for name in os.listdir(tmp_path) if name.startswith(PREFIX)]) == 2
        (first / "file").write_text("whole")
    assert sorted(os.listdir(tmp_path)) == ["b", "c"]
    with pytest.raises(SaveError, match="already exists"), new_folder(tmp_path / "b"):
        pass


def test_two_loaders_of_the_same_kind_are_a_fault_until_one_is_chosen(
    project: Path, small_model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    second = {"class_type": "LoadFlux", "inputs": {"model": small_model, "quantize": 8}}
    edit(project, lambda nodes: nodes.update(second=second))
    assert main([str(project), "--save-model", "saved"]) == 2
    assert "flux, second each choose what is saved as flux" in capsys.readouterr().err
    assert main([str(project), "--save-model", "saved", "--target", "second"]) == 0
    assert saved_bits(Path("saved/vae")) == 8
    assert not Path("saved/image_encoder").exists()


def test_nothing_to_save_and_a_lora_are_told(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--save-model", "saved"]) == 2
    assert "does not know what to save" in capsys.readouterr().err
    mx.save_safetensors(str(tmp_path / "ink.safetensors"), {"a": mx.zeros(1)})
    lora = {"class_type": "LoadLora", "inputs": {"flux": ["flux", 0], "lora": "ink.safetensors"}}
    edit(project, lambda nodes: nodes.update(lora=lora))
    assert main([str(project), "--save-model", "saved"]) == 0
    assert "lora: LoRAs are not part of what is saved" in capsys.readouterr().err
    assert main([str(project), "--save-model", "other", "--sweep", "sample.seed=1,2"]) == 2


def test_a_model_with_a_lora_is_refused(tmp_path: Path) -> None:
    lora = Lora("0", 1.0, False, "ink", tmp_path / "ink.safetensors")
    node = SaveModel(folder="x", flux=Flux(resolve_flux("tiny"), loras=(lora,)))
    with pytest.raises(ValueError, match="has the LoRA ink"):
        NodeBench(tmp_path).run(node)
    assert not (tmp_path / "out").exists()
