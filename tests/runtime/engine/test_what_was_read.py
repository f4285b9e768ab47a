"""A result is kept only under the content that was really read: files change between planning and reading."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from cache_samples import disk
from engine import workflow
from PIL import Image as PilImage
from sample_nodes import Kept

from run_graph.graph import Context, Environment, Node, Outputs, Registry, SocketValue
from run_graph.nodes import LoadImage
from run_graph.runtime.cache import MemoryCache, ResultCache
from run_graph.runtime.cache.tiered import TieredCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.session import Session
from run_graph.runtime.events import Event, NodeStarted, RunStarted
from run_graph.runtime.values import Image

RED, BLUE = "red.png", "blue.png"


class Read(Outputs):
    image: Image


def read_picture(content: bytes) -> Read:
    import io

    with PilImage.open(io.BytesIO(content)) as picture:
        return Read(image=Image(np.asarray(picture, np.float32)[None] / np.float32(255)))


class ReadsByContext(Node):
    """Another package's node, written as the documentation says."""

    image: str

    def fingerprint(self, env: Environment) -> Any:
        return ["made by another package", env.digest_of_input(self.image)]

    def run(self, ctx: Context) -> Read:
        return read_picture(ctx.read_input(self.image))


class ReadsByItself(Node):
    """Another package's node that opens its file itself."""

    image: str

    def fingerprint(self, env: Environment) -> Any:
        return hashlib.md5(env.find_input(self.image).read_bytes()).hexdigest()

    def run(self, ctx: Context) -> Read:
        return read_picture(ctx.find_input(self.image).read_bytes())


class ReadsBeside(ReadsByContext):
    """One that runs on the second thread, if there is other work."""

    runs_in_background = True


class NamesNothing(Node):
    """One whose fingerprint does not name what it reads."""

    image: str

    def run(self, ctx: Context) -> Read:
        return read_picture(ctx.read_input(self.image))


class Handle(SocketValue):
    """A value that no cache on the disk can hold, and that has no digest."""

    socket_type = "HANDLE"

    def __init__(self, colour: str) -> None:
        self.colour = colour


class Held(Outputs):
    handle: Handle


class Colour(Node):
    """The colour of a picture: the long computation."""

    image: Image

    def run(self, ctx: Context) -> Kept:
        return Kept(value=colour_of(self.image))


class Hold(Node):
    """The colour of a picture, in a value without a digest."""

    image: Image

    def run(self, ctx: Context) -> Held:
        return Held(handle=Handle(colour_of(self.image)))


class Open(Node):
    """What reads that value."""

    handle: Handle

    def run(self, ctx: Context) -> Kept:
        return Kept(value=self.handle.colour)


class Tell(Node):
    """Both colours."""

    is_output = True

    held: Any
    colour: Any

    def run(self, ctx: Context) -> Kept:
        return Kept(value=[self.held, self.colour])


class Other(Node):
    """Work beside the second thread."""

    is_output = True

    def run(self, ctx: Context) -> Kept:
        return Kept(value=0)


class Name(Node):
    """A file's name by a link."""

    name: str

    def run(self, ctx: Context) -> "Text":
        return Text(value=self.name)


class Text(Outputs):
    value: str


class SwapsBack(ReadsByContext):
    """Its file is as planned before and after it reads, but not meanwhile."""

    meanwhile: ClassVar[Callable[[bool], None]]

    def run(self, ctx: Context) -> Read:
        SwapsBack.meanwhile(True)
        content = ctx.read_input(self.image)
        SwapsBack.meanwhile(False)
        return read_picture(content)


NODES = Registry(
    [
        LoadImage,
        ReadsByContext,
        ReadsByItself,
        ReadsBeside,
        NamesNothing,
        SwapsBack,
        Colour,
        Hold,
        Open,
        Tell,
        Other,
        Name,
    ]
)


def colour_of(image: Image) -> str:
    red, _, blue = image.pixels[0, 0, 0]
    return "red" if red > blue else "blue"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, colour in ((RED, "red"), (BLUE, "blue")):
        PilImage.new("RGB", (4, 4), colour).save(tmp_path / name)
    shutil.copy(tmp_path / RED, tmp_path / "photo.png")
    return tmp_path


def graph(reader: type[Node], name: str = "photo.png") -> Any:
    return workflow(
        name=(Name, {"name": "photo.png"}),
        read=(reader, {"image": name}),
        colour=(Colour, {"image": "@read.image"}),
        hold=(Hold, {"image": "@read.image"}),
        open=(Open, {"handle": "@hold.handle"}),
        tell=(Tell, {"held": "@open.value", "colour": "@colour.value"}),
        other=(Other, {}),
    )


class Runs:
    """Runs a graph again and again on one cache, each time in a session of its own if it is on the disk."""

    def __init__(self, folder: Path, cache: ResultCache, given: Any) -> None:
        self.folder, self.cache, self.given = folder, cache, given
        self.ran: list[str] = []

    def put(self, name: str) -> None:
        shutil.copy(self.folder / name, self.folder / "photo.png")

    def __call__(self, swapped_for: str | None = None) -> Any:
        """The colour that the run found; the photo is replaced once the run is planned."""
        self.ran = []

        def listen(event: Event) -> None:
            if isinstance(event, RunStarted) and swapped_for:
                self.put(swapped_for)
            elif isinstance(event, NodeStarted):
                self.ran.append(event.node_id)

        session = Session(NODES, self.cache)
        environment = RunEnvironment([self.folder], self.folder / "out")
        result: Any = session.run(self.given, environment=environment, on_event=listen)
        return result.outputs("tell").value


def memory(folder: Path) -> ResultCache:
    return MemoryCache()


def on_disk(folder: Path) -> ResultCache:
    return disk(folder / "cache")[0]


def tiered(folder: Path) -> ResultCache:
    return TieredCache(MemoryCache(), on_disk(folder))


caches = pytest.mark.parametrize("make_cache", [memory, on_disk, tiered])
readers = pytest.mark.parametrize("reader", [LoadImage, ReadsByContext, ReadsByItself, ReadsBeside])
CacheMaker = Callable[[Path], ResultCache]


@caches
@readers
def test_a_photo_replaced_after_planning_spoils_no_later_run(
    make_cache: CacheMaker, reader: type[Node], folder: Path
) -> None:
    run = Runs(folder, make_cache(folder), graph(reader))
    assert run(swapped_for=BLUE) == ["blue", "blue"], "the picture is of what was read"
    run.put(RED)
    assert run() == ["red", "red"]
    run.put(BLUE)
    assert run() == ["blue", "blue"]
    assert "colour" not in run.ran, "the long computation is found by what it reads"


@caches
@readers
def test_a_photo_as_planned_is_found_again(make_cache: CacheMaker, reader: type[Node], folder: Path) -> None:
    run = Runs(folder, make_cache(folder), graph(reader))
    assert run() == run() == ["red", "red"]
    assert "colour" not in run.ran
    assert run(swapped_for=BLUE) == ["red", "red"] or "read" in run.ran
    run.put(RED)
    assert run() == ["red", "red"]


@caches
def test_what_was_read_counts_not_what_is_there_afterwards(make_cache: CacheMaker, folder: Path) -> None:
    run = Runs(folder, make_cache(folder), graph(SwapsBack))
    SwapsBack.meanwhile = lambda swapped: run.put(BLUE if swapped else RED)
    assert run() == ["blue", "blue"]
    SwapsBack.meanwhile = lambda swapped: None
    assert run() == ["red", "red"]


@caches
@pytest.mark.parametrize("reader", [LoadImage, ReadsByContext, NamesNothing])
def test_a_file_whose_name_comes_by_a_link_is_read_each_time(
    make_cache: CacheMaker, reader: type[Node], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unless_linked(self: ReadsByContext, env: Environment) -> Any:
        return env.digest_of_input(self.image) if isinstance(self.image, str) else None

    monkeypatch.setattr(ReadsByContext, "fingerprint", unless_linked)
    run = Runs(folder, make_cache(folder), graph(reader, "@name.value"))
    assert run() == ["red", "red"]
    run.put(BLUE)
    assert run() == ["blue", "blue"]
    assert "colour" in run.ran
    assert run() == ["blue", "blue"]
    assert "read" in run.ran
    assert "colour" not in run.ran


@caches
def test_a_file_that_the_fingerprint_does_not_name_is_read_each_time(
    make_cache: CacheMaker, folder: Path
) -> None:
    run = Runs(folder, make_cache(folder), graph(NamesNothing))
    assert run() == ["red", "red"]
    run.put(BLUE)
    assert run() == ["blue", "blue"]


def test_a_photo_that_vanishes_after_planning_is_named(folder: Path) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, RunStarted):
            (folder / "photo.png").unlink()

    with pytest.raises(Exception, match=r"node 'read' \(LoadImage\) failed: no file 'photo\.png'"):
        Session(NODES).run(
            graph(LoadImage), environment=RunEnvironment([folder], folder / "out"), on_event=listen
        )
