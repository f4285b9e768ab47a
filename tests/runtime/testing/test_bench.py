"""NodeBench runs a node as a session would: same context, same checks of inputs and outputs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from run_graph.graph import Context, Environment, Field, Link, Node, Outputs, Problem
from run_graph.runtime.errors import Cancelled
from run_graph.runtime.testing import NodeBench
from run_graph.runtime.values import Image


class Picture(Outputs):
    image: Image = Field(description="The picture.")


class Steps(Node):
    """Adds a number in steps, as a long computation would."""

    image: Image = Field(description="The picture.")
    steps: int = Field(default=3, ge=1, description="How often.")
    add: float = Field(default=0.25, description="How much.")
    scale: float = Field(default=1.0, description="Spoils the result if not 1.")

    def check(self, env: Environment) -> Iterable[Problem]:
        if self.add < 0:
            yield Problem("add", "this is negative", "Write a positive number.")

    def run(self, ctx: Context) -> Picture:
        state = ctx.resume_state() or {"done": 0, "pixels": self.image.pixels}
        done, pixels = state["done"], state["pixels"]
        while done < self.steps:
            pixels, done = pixels + np.float32(self.add), done + 1
            ctx.save_state(done=done, pixels=pixels)
            ctx.progress(done, self.steps)
        if pixels.max() > 1:
            ctx.warn("some colours are too bright")
        return Picture(image=Image((pixels * self.scale).astype(np.float32)))


class Counter:
    """A service."""

    def __init__(self) -> None:
        self.count = 0


class Done(Outputs):
    text: str


class Reads(Node):
    """Reads a file, writes another, uses a service and the provenance."""

    name: str = Field(description="A file.")

    def run(self, ctx: Context) -> Done:
        ctx.service(Counter).count += 1
        folder = ctx.output_directory
        folder.mkdir(exist_ok=True)
        (folder / "copy.txt").write_bytes(ctx.find_input(self.name).read_bytes())
        return Done(text=ctx.provenance()["prompt"][ctx.node_id]["class_type"])


def picture(value: float = 0.0) -> Image:
    return Image(np.full((1, 2, 2, 3), value, np.float32))


def test_outputs_progress_and_states_are_there(tmp_path: Path) -> None:
    bench = NodeBench(tmp_path)
    done = bench.run(Steps(image=picture()))
    assert done.image.pixels.max() == 0.75
    assert bench.steps == [(1, 3), (2, 3), (3, 3)]
    assert [state["done"] for state in bench.states] == [1, 2, 3]
    assert [float(state["pixels"].max()) for state in bench.states] == [0.25, 0.5, 0.75]
    assert bench.warnings == []


def test_a_run_resumes_from_each_state(tmp_path: Path) -> None:
    bench = NodeBench(tmp_path)
    node = Steps(image=picture())
    unbroken = bench.run(node).image.pixels
    for number, state in enumerate(list(bench.states), start=1):
        bench.events.clear()
        np.testing.assert_array_equal(bench.run(node, resume=state).image.pixels, unbroken)
        assert len(bench.steps) == 3 - number


def test_a_node_can_be_stopped_at_a_step(tmp_path: Path) -> None:
    bench = NodeBench(tmp_path)
    with pytest.raises(Cancelled):
        bench.run(Steps(image=picture(), steps=100), cancel_at=2)
    assert bench.steps == [(1, 100), (2, 100)]


def test_warnings_are_kept_and_fail_a_strict_run(tmp_path: Path) -> None:
    bench, strict = NodeBench(tmp_path), NodeBench(tmp_path, strict=True)
    bench.run(Steps(image=picture(0.5)))
    assert bench.warnings == ["some colours are too bright"]
    with pytest.raises(ValueError, match="too bright"):
        strict.run(Steps(image=picture(0.5)))


def test_an_output_that_breaks_its_sockets_promise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="output 'image' is not a valid IMAGE: pixels has values from 191"):
        NodeBench(tmp_path).run(Steps(image=picture(), scale=255))


def test_an_input_that_breaks_its_sockets_promise_is_refused(tmp_path: Path) -> None:
    wrong = Image(np.zeros((2, 2, 3), np.float32))
    with pytest.raises(ValueError, match=r"input 'image' is not a valid IMAGE: pixels has shape \(2, 2, 3\)"):
        NodeBench(tmp_path).run(Steps(image=wrong))


def test_a_node_that_writes_into_its_input_is_found_out(tmp_path: Path) -> None:
    class Spoils(Node):
        image: Image

        def run(self, ctx: Context) -> Picture:
            self.image.pixels[:] = 1
            return Picture(image=self.image)

    with pytest.raises(ValueError, match="read-only"):
        NodeBench(tmp_path).run(Spoils(image=picture()))


def test_a_state_that_cannot_be_stored_is_found_out(tmp_path: Path) -> None:
    class Odd(Node):
        def run(self, ctx: Context) -> Done:
            ctx.save_state(thing=object())
            return Done(text="")

    with pytest.raises(TypeError):
        NodeBench(tmp_path).run(Odd())


def test_a_result_of_another_class_is_refused(tmp_path: Path) -> None:
    class Wrong(Node):
        def run(self, ctx: Context) -> Done:
            return "text"  # type: ignore[return-value]

    with pytest.raises(TypeError, match="run returned str, not Done"):
        NodeBench(tmp_path).run(Wrong())


def test_files_services_and_provenance(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    counter = Counter()
    bench = NodeBench(tmp_path, counter)
    assert bench.run(Reads(name="a.txt")).text == "Reads"
    assert (bench.saved, counter.count) == (["copy.txt"], 1)


def test_provenance_can_be_given(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    given = {"prompt": {"node": {"class_type": "Other"}}}
    assert NodeBench(tmp_path, provenance=given).run(Reads(name="a.txt")).text == "Other"


def test_the_default_provenance_is_a_graph_that_can_be_written(tmp_path: Path) -> None:
    class Tells(Node):
        image: Image
        word: str = "x"

        def run(self, ctx: Context) -> Done:
            return Done(text=str(ctx.provenance()["prompt"]["node"]["inputs"]))

    text = NodeBench(tmp_path).run(Tells(image=picture())).text
    assert text == "{'image': ['image', 0], 'word': 'x'}"


def test_the_nodes_own_check_can_be_called(tmp_path: Path) -> None:
    bench = NodeBench(tmp_path)
    assert bench.problems(Steps(image=picture())) == []
    [problem] = bench.problems(Steps(image=picture(), add=-1))
    assert problem.input == "add"


@pytest.mark.parametrize("thing", [Steps, "Steps", None])
def test_only_nodes_with_values_are_run(tmp_path: Path, thing: Any) -> None:
    bench = NodeBench(tmp_path)
    with pytest.raises(TypeError, match="run takes a node, not"):
        bench.run(thing)
    linked: Any = Link("a")
    with pytest.raises(ValueError, match="input 'image' holds a link; give it a value"):
        bench.run(Steps(image=linked))
