"""A small picture-like family of nodes, for tests that need sockets, ranges and choices but no models."""

from collections.abc import Iterable
from typing import Any, Literal

from run_graph.graph import Context, Environment, Field, Node, Outputs, Problem, Registry, SocketValue


class Image(SocketValue):
    """A stand-in for a picture: remembers how it was made."""

    socket_type = "IMAGE"

    def __init__(self, story: str, nbytes: int = 1000) -> None:
        self.story = story
        self._nbytes = nbytes

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def __repr__(self) -> str:
        return f"Image({self.story})"


class Mask(SocketValue):
    """A stand-in for a mask."""

    socket_type = "MASK"


class Photo(Outputs):
    image: Image = Field(description="The picture.")
    mask: Mask = Field(description="Its transparency.")


class Picture(Outputs):
    image: Image


class Saved(Outputs):
    path: str


class LoadPhoto(Node):
    """Pretend to read a picture."""

    category = "image"

    name: str = Field(description="File name.")

    def check(self, env: Environment) -> Iterable[Problem]:
        if self.name.startswith("missing"):
            yield Problem("name", "there is no such picture", "Name another.", found=self.name)

    def run(self, ctx: Context) -> Photo:
        return Photo(image=Image(self.name), mask=Mask())


class Blur(Node):
    """Pretend to blur a picture."""

    category = "image"

    image: Image = Field(description="The picture.")
    radius: float = Field(default=1.0, ge=0, le=10, description="In pixels.")
    edge: Literal["clamp", "wrap", "mirror"] = Field(default="clamp", description="What lies outside.")

    def run(self, ctx: Context) -> Picture:
        return Picture(image=Image(f"{self.image.story}~{self.radius:g}{self.edge}"))


class Scale(Node):
    """Pretend to scale a picture; optionally through a mask."""

    category = "image"

    image: Image = Field(description="The picture.")
    width: int = Field(default=512, ge=16, le=4096, multiple_of=16, description="In pixels.")
    mask: Mask | None = Field(default=None, description="What to keep.")

    def run(self, ctx: Context) -> Picture:
        return Picture(image=Image(f"{self.image.story}@{self.width}"))


class SavePhoto(Node):
    """Pretend to save a picture."""

    category = "image"
    is_output = True

    image: Image = Field(description="The picture.")
    prefix: str = Field(default="out", description="Beginning of the file name.")

    def run(self, ctx: Context) -> Saved:
        return Saved(path=f"{self.prefix}:{self.image.story}")


class Keep(Node):
    """Any JSON value, as it is."""

    is_output = True

    value: Any = Field(default=None, description="Anything.")

    def run(self, ctx: Context) -> "Kept":
        return Kept(value=self.value)


class Kept(Outputs):
    value: Any


REGISTRY = Registry([LoadPhoto, Blur, Scale, SavePhoto, Keep])
