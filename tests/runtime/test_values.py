"""A picture claims its file only as long as its pixels are the file's."""

from dataclasses import replace

import numpy as np
import pytest

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.runtime.cache.file_formats import decode, encode
from run_graph.runtime.cache.serialization import deserialize, digest_of, serialize
from run_graph.runtime.generation import Generation, PictureFile
from run_graph.runtime.values import Image

FILE = PictureFile("fox.png", "white", "first")
PIXELS = np.full((1, 2, 2, 3), 0.5, np.float32)


class Brightened(Outputs):
    image: Image = Field(description="The brighter picture.")


class Brighten(Node):
    """The example of CONTRIBUTING.md."""

    image: Image = Field(description="The picture.")
    amount: float = Field(0.1, description="How much is added to every colour.")

    def run(self, ctx: Context) -> Brightened:
        pixels = np.minimum(self.image.pixels + np.float32(self.amount), 1)
        return Brightened(image=replace(self.image, pixels=pixels))


def test_a_picture_from_a_file_remembers_it() -> None:
    assert Image.from_file(PIXELS, FILE).source == FILE
    assert Image(PIXELS).source is None


def test_a_changed_copy_does_not_claim_the_file() -> None:
    image = Image.from_file(PIXELS, FILE)
    assert replace(image, pixels=1 - PIXELS).source is None
    assert Brighten(image=image).run(None).image.source is None  # type: ignore[arg-type]


def test_the_file_cannot_be_claimed_by_other_means() -> None:
    with pytest.raises(TypeError):
        Image(PIXELS, source=FILE)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="source"):
        replace(Image(PIXELS), source=FILE)


def test_a_changed_copy_keeps_how_it_was_sampled() -> None:
    generation = Generation("a fox", (), "tiny", None)
    assert replace(Image(PIXELS, generation=generation), pixels=1 - PIXELS).generation is generation


def test_the_file_survives_the_disk_and_is_part_of_the_digest() -> None:
    image = Image.from_file(PIXELS, FILE)
    again = deserialize(decode(*encode(serialize(image))))
    assert again.source == FILE
    assert digest_of(again) == digest_of(image)
    assert digest_of(image) != digest_of(Image(PIXELS))
