"""Nodes that correspond to those of ComfyUI's own execution tests."""

from collections.abc import Iterable
from typing import Any

from sample_nodes import Image, Mask, Picture, Saved

from run_graph.graph import (
    Context,
    Environment,
    Lazy,
    Node,
    Outputs,
    Problem,
    Registry,
)


class Number(Outputs):
    value: float


class Whole(Outputs):
    value: int


class MaskOut(Outputs):
    mask: Mask


class GreyMask(Mask):
    """A mask of one value."""

    def __init__(self, value: float) -> None:
        self.value = value


class StubImage(Node):
    """A picture described by a word and a size."""

    content: str = "BLACK"
    size: int = 512

    def run(self, ctx: Context) -> Picture:
        return Picture(image=Image(f"{self.content}{self.size}"))


class StubMask(Node):
    """A mask of one value."""

    value: float = 0.0

    def run(self, ctx: Context) -> MaskOut:
        return MaskOut(mask=GreyMask(self.value))


class LazyMix(Node):
    """Mix two pictures; a mask of all 0 or all 1 needs only one of them."""

    image1: Lazy[Image]
    image2: Lazy[Image]
    mask: Mask

    def required_lazy_inputs(self) -> list[str]:
        value = self.mask.value if isinstance(self.mask, GreyMask) else 0.5
        return [name for name, wanted in (("image1", value < 1), ("image2", value > 0)) if wanted]

    def run(self, ctx: Context) -> Picture:
        read = [getattr(self, name).story for name in self.required_lazy_inputs()]
        if len({story[-3:] for story in read}) > 1:
            raise ValueError("the pictures differ in size")
        return Picture(image=Image("+".join(read)))


class SaveImage(Node):
    """The output node."""

    is_output = True
    images: Image

    def run(self, ctx: Context) -> Saved:
        return Saved(path=self.images.story)


class StubInt(Node):
    """A whole number."""

    value: int = 0

    def run(self, ctx: Context) -> Whole:
        return Whole(value=self.value)


class StubFloat(Node):
    """A number."""

    value: float = 0.0

    def run(self, ctx: Context) -> Number:
        return Number(value=self.value)


class CustomValidation(Node):
    """Accepts a sum below 6 only."""

    input1: float
    input2: float

    def check(self, env: Environment) -> Iterable[Problem]:
        if (
            isinstance(self.input1, float)
            and isinstance(self.input2, float)
            and self.input1 + self.input2 > 6
        ):
            yield Problem("input2", "the sum is too large", "Choose smaller numbers.")

    def run(self, ctx: Context) -> Picture:
        return Picture(image=Image(f"{self.input1 + self.input2:g}"))


class CustomIsChanged(Node):
    """Returns its picture; if asked to, it counts as changed at every run."""

    image: Image
    should_change: bool = False

    def fingerprint(self, env: Environment) -> Any:
        if not self.should_change:
            return False
        CustomIsChanged_calls.append(1)
        return len(CustomIsChanged_calls)

    def run(self, ctx: Context) -> Picture:
        return Picture(image=self.image)


CustomIsChanged_calls: list[int] = []


class FingerprintSees(Node):
    """Records what its fingerprint method sees of a linked and of a literal input."""

    image: Image
    value: float

    def fingerprint(self, env: Environment) -> Any:
        SEEN.append((isinstance(self.image, Image), self.value))
        return None

    def run(self, ctx: Context) -> Picture:
        return Picture(image=self.image)


SEEN: list[tuple[bool, float]] = []

REGISTRY = Registry(
    [
        StubImage,
        StubMask,
        LazyMix,
        SaveImage,
        StubInt,
        StubFloat,
        CustomValidation,
        CustomIsChanged,
        FingerprintSees,
    ]
)
