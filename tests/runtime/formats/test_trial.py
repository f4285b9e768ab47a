"""``--model`` and ``--max-pixels``: a workflow on the built-in model, with small pictures."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from small import shipped

from run_graph.graph import Workflow
from run_graph.graph.links import Link
from run_graph.graph.registry import installed_nodes
from run_graph.graph.validation import validate
from run_graph.runtime.cli import main as cli
from run_graph.runtime.formats.trial import Trial, tried

REGISTRY = installed_nodes()


def chain(**sample: Any) -> Workflow:
    """Text to picture with two LoRAs."""
    return Workflow.from_json(
        {
            "flux": {"class_type": "LoadFlux", "inputs": {"model": "dev", "quantize": 8}},
            "one": {"class_type": "LoadLora", "inputs": {"flux": ["flux", 0], "lora": "a.safetensors"}},
            "two": {"class_type": "LoadLora", "inputs": {"flux": ["one", "flux"], "lora": "b.safetensors"}},
            "text": {"class_type": "TextEncode", "inputs": {"text_encoders": ["flux", 1], "prompt": "a fox"}},
            "sample": {
                "class_type": "FluxSample",
                "inputs": {"flux": ["two", 0], "conditioning": ["text", 0], "steps": 1, **sample},
            },
            "decode": {"class_type": "DecodeLatent", "inputs": {"vae": ["flux", 2], "latent": ["sample", 0]}},
            "save": {"class_type": "SaveImage", "inputs": {"images": ["decode", 0], "filename_prefix": "a"}},
        }
    )


def test_every_model_is_replaced_and_loras_are_left_out() -> None:
    workflow, notes = tried(chain(), REGISTRY, Trial(model="tiny"))
    assert workflow.nodes["flux"].inputs["model"] == "tiny"
    assert workflow.nodes["sample"].inputs["flux"] == Link("flux", 0)
    assert {"one", "two"}.isdisjoint(workflow.nodes)
    assert validate(workflow, REGISTRY) == []
    assert notes == [
        "--model tiny: replaced flux.model",
        "--model tiny: left out LoRAs, which are for another model: one, two",
    ]


def test_the_redux_model_is_replaced_too() -> None:
    workflow = shipped("redux")
    for node_id, spec in workflow.nodes.items():
        if spec.class_type in ("LoadFlux", "LoadRedux"):
            workflow = workflow.with_input(node_id, "model", "elsewhere")
    replaced, _ = tried(workflow, REGISTRY, Trial(model="tiny"))
    assert replaced == shipped("redux")


def test_loras_in_a_circle_do_not_hang() -> None:
    workflow = chain().with_input("one", "flux", Link("two", 0))
    changed, _ = tried(workflow, REGISTRY, Trial(model="tiny"))
    assert validate(changed, REGISTRY) != []


def test_nothing_is_changed_or_told_without_need() -> None:
    workflow = shipped("text_to_image")
    assert tried(workflow, REGISTRY, Trial()) == (workflow, [])
    assert tried(workflow, REGISTRY, Trial("tiny", 2**30)) == (workflow, [])


@pytest.mark.parametrize(
    ("width", "height", "most", "expected"),
    [
        (1024, 1024, 65536, (256, 256)),
        (1024, 512, 65536, (352, 176)),
        (512, 1024.0, 65536, (176, 352)),
        (8192, 16, 256, (16, 16)),
        (8192, 16, 4096, (256, 16)),
        (64, 64, 4096, (64, 64)),
        (64, 64, 4095, (48, 48)),
    ],
)
def test_sizes_keep_their_proportion(width: int, height: int, most: int, expected: tuple[int, int]) -> None:
    workflow, notes = tried(chain(width=width, height=height), REGISTRY, Trial(max_pixels=most))
    inputs = workflow.nodes["sample"].inputs
    assert (inputs["width"], inputs["height"]) == expected
    assert len(notes) == (expected != (width, height))


def test_a_default_size_counts_and_a_linked_one_is_told() -> None:
    workflow, notes = tried(chain(), REGISTRY, Trial(max_pixels=65536))
    assert workflow.nodes["sample"].inputs["width"] == 256
    assert notes == ["--max-pixels 65536: sample 1024 x 1024 is now 256 x 256"]
    linked = chain(width=["size", 0])
    assert tried(linked, REGISTRY, Trial(max_pixels=65536)) == (
        linked,
        ["--max-pixels 65536: not changed, because the size is linked: sample"],
    )


@pytest.mark.parametrize("value", ["wide", None, -5, True, [1]])
def test_a_bad_size_is_left_to_validation(value: Any) -> None:
    workflow = chain().with_input("sample", "width", value)
    assert tried(workflow, REGISTRY, Trial(max_pixels=65536))[0] == workflow


def test_the_command_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text(chain().dumps())
    assert cli.main(["a.json", "--model", "tiny", "--max-pixels", "4096"]) == 0
    with Image.open("output/a_00001_.png") as picture:
        assert picture.size == (64, 64)
    assert "a.json: --max-pixels 4096: sample 1024 x 1024 is now 64 x 64" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--model", "dev"], ["--max-pixels", "255"], ["--max-pixels", "1e6"]])
def test_other_values_are_refused(option: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["a.json", *option])
    assert stopped.value.code == 2


def test_pictures_that_are_scaled_to_a_number_of_pixels_are_scaled_to_fewer() -> None:
    picture = {"class_type": "LoadImage", "inputs": {"image": "a.png"}}
    nodes = {
        "a": picture,
        "kontext": {"class_type": "FluxKontextImageScale", "inputs": {"image": ["a", 0]}},
        "large": {"class_type": "ImageScaleToTotalPixels", "inputs": {"image": ["a", 0], "megapixels": 1.5}},
        "small": {"class_type": "ImageScaleToTotalPixels", "inputs": {"image": ["a", 0], "megapixels": 0.02}},
    }
    workflow, [note] = tried(Workflow.from_json(nodes), REGISTRY, Trial(max_pixels=2**16))
    assert workflow.nodes["kontext"].class_type == "ImageScaleToTotalPixels"
    assert [workflow.nodes[name].inputs["megapixels"] for name in ("kontext", "large", "small")] == [
        0.0625,
        0.0625,
        0.02,
    ]
    assert "kontext scales to 0.0625 megapixels, large scales to 0.0625 megapixels" in note
    assert not validate(workflow, REGISTRY, ["kontext", "large"])
    tiny, _ = tried(Workflow.from_json(nodes), REGISTRY, Trial(max_pixels=256))
    assert tiny.nodes["large"].inputs["megapixels"] == 0.01
