"""Values keep their sockets' promises: checked where they are made, evaluated, read-only."""

import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from engine import Engine, workflow
from PIL import Image as PilImage

from run_graph.graph import Context, Field, Node, Outputs, Registry
from run_graph.runtime.cache.serialization import deserialize, serialize
from run_graph.runtime.errors import NodeFailed
from run_graph.runtime.generation import Reference
from run_graph.runtime.values import (
    ArrayValue,
    Conditioning,
    Entry,
    Image,
    Latent,
    Mask,
    NoiseChoice,
    ReduxTokens,
    SamplerChoice,
    Sigmas,
    Vision,
)

GOOD: dict[str, ArrayValue] = {
    "image": Image(np.full((1, 2, 2, 3), 0.5, np.float32)),
    "mask": Mask(np.zeros((1, 2, 2), np.float32)),
    "vision": Vision(mx.zeros((1, 4, 8)), Reference()),
    "tokens": ReduxTokens(mx.zeros((1, 4, 8)), Reference()),
    "conditioning": Conditioning.of(mx.zeros((1, 4, 8)), mx.zeros((1, 8)), ""),
    "latent": Latent(mx.zeros((1, 2, 2, 16))),
    "sampler": SamplerChoice("lms", (("order", 2),)),
    "sigmas": Sigmas.of([1.0, 0.5, 0.0]),
    "noise": NoiseChoice(5),
}


def image(pixels: Any) -> Image:
    return Image(pixels)


@pytest.mark.parametrize("name", GOOD)
def test_a_value_that_keeps_its_promise_is_sealed_without_a_word(name: str) -> None:
    GOOD[name].seal()


def test_every_socket_of_arrays_promises_something() -> None:
    kinds = {type(value) for value in GOOD.values()}
    assert kinds == set(ArrayValue.__subclasses__()) - other_packages() - {Entry}
    for value in GOOD.values():
        for part in value.entries if isinstance(value, Conditioning) else [value]:
            arrays = {name for name, each in part.__dict__.items() if hasattr(each, "shape")}
            assert part.promises.keys() >= arrays


def other_packages() -> set[type]:
    return {each for each in ArrayValue.__subclasses__() if not each.__module__.startswith("run_graph.")}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (image(np.zeros((2, 2, 3), np.float32)), "pixels has shape (2, 2, 3), not (B, H, W, 3 or 4)"),
        (image(np.zeros((1, 2, 2, 1), np.float32)), "pixels has shape (1, 2, 2, 1), not (B, H, W, 3 or 4)"),
        (
            image(np.zeros((1, 2, 2, 3), np.uint8)),
            "pixels has dtype uint8, not float32 with values from 0 to 1",
        ),
        (image(np.zeros((1, 2, 2, 3))), "pixels has dtype float64, not float32 with values from 0 to 1"),
        (
            image(np.full((1, 2, 2, 3), 200, np.float32)),
            "pixels has values from 200 to 200; expected about 0",
        ),
        (image(np.full((1, 2, 2, 3), np.nan, np.float32)), "pixels contains values that are not finite"),
        (image(np.full((1, 2, 2, 3), np.inf, np.float32)), "pixels contains values that are not finite"),
        (image(np.zeros((0, 2, 2, 3), np.float32)), "pixels is empty: its shape is (0, 2, 2, 3)"),
        (image([[0.5]]), "pixels is not an array but list"),
        (Mask(np.zeros((2, 2), np.float32)), "values has shape (2, 2), not (B, H, W)"),
        (Latent(mx.zeros((1, 16, 2))), "samples has shape (1, 16, 2), not (B, H/8, W/8, channels)"),
        (
            Latent(mx.zeros((1, 2, 2, 16)), noise_mask=np.zeros((2, 2), np.float32)),
            "noise_mask has shape (2, 2), not (B, H, W)",
        ),
        (Conditioning(()), "a conditioning has no entries"),
        (Latent(mx.full((1, 2, 2, 16), float("nan"))), "samples contains values that are not finite"),
        (Latent(mx.zeros((1, 2, 2, 16), mx.int32)), "samples has dtype mlx.core.int32, not a floating-point"),
        (
            Conditioning.of(mx.zeros((2, 4, 8)), mx.zeros((1, 8)), ""),
            "tokens has shape (2, 4, 8), not (1, tokens",
        ),
    ],
)
def test_a_value_that_breaks_its_promise_says_how(value: ArrayValue, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        value.seal()


def test_a_little_overshoot_of_a_resampling_kernel_is_allowed() -> None:
    image(np.array([-0.1, 1.1, 0.5], np.float32).reshape(1, 1, 1, 3)).seal()


class Made(Outputs):
    image: Image = Field(description="A picture.")


class Make(Node):
    """Return a picture that may not be one."""

    scale: float = Field(default=1.0, description="What 1 is.")

    def run(self, ctx: Context) -> Made:
        return Made(image=Image(np.full((1, 2, 2, 3), self.scale, np.float32)))


class Read(Node):
    """Read a picture."""

    image: Image = Field(description="A picture.")

    def run(self, ctx: Context) -> Made:
        return Made(image=self.image)


REGISTRY = Registry([Make, Read])


def test_the_node_that_made_a_bad_value_is_named_not_its_reader() -> None:
    given = workflow(maker=(Make, {"scale": 255.0}), reader=(Read, {"image": "@maker"}))
    with pytest.raises(
        NodeFailed, match=r"node 'maker' \(Make\) failed: output 'image' is not a valid IMAGE"
    ):
        Engine(REGISTRY).run(given, ["reader"])


def test_a_value_from_the_cache_cannot_be_changed_either() -> None:
    image = GOOD["image"]
    image.seal()
    with pytest.raises(ValueError, match="read-only"):
        deserialize(serialize(image)).pixels[:] = 0


def test_a_sealed_tensor_can_be_read_on_another_thread() -> None:
    latent = Latent(mx.ones((1, 2, 2, 16)) * 3)
    latent.seal()
    found: list[float] = []
    reader = threading.Thread(target=lambda: found.append(float(np.array(latent.samples).sum())))
    reader.start()
    reader.join()
    assert found == [192.0]


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_a_picture_goes_to_pil_and_to_a_file(tmp_path: Path, suffix: str) -> None:
    colours = np.array([[[[0, 0.5, 1.2], [-0.3, 1, 0.2]]]], np.float32)
    picture = Image(colours)
    assert np.asarray(picture.to_pil()).tolist() == [[[0, 128, 255], [0, 255, 51]]]
    picture.save(tmp_path / f"a{suffix}")
    assert PilImage.open(tmp_path / f"a{suffix}").size == (2, 1)


def test_a_picture_of_comfyuis_nodes_is_cut_to_8_bits_and_keeps_alpha() -> None:
    colours = np.array([[[[0, 0.5, 1.2, 0.999]]]], np.float32)
    assert np.asarray(Image.from_comfyui(colours).to_pil()).tolist() == [[[0, 127, 255, 254]]]
    assert np.asarray(Image(colours).to_pil()).tolist() == [[[0, 128, 255, 255]]]
    assert replace(Image.from_comfyui(colours), pixels=colours).truncates


def test_the_8_bit_samples_of_comfyuis_nodes_stay() -> None:
    samples = np.arange(256, dtype=np.uint8).reshape(1, 8, 8, 4)
    picture = Image.from_comfyui(samples)
    assert picture.samples is samples
    np.testing.assert_array_equal(Image.from_comfyui(picture.pixels).eight_bit(), samples[0])
