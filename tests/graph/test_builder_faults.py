"""Faults of graphs built in Python: the words of faults in files, and fixes in Python."""

import copy
import inspect
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator
from sample_nodes import REGISTRY, Blur, Image, Keep, LoadPhoto, Mask, SavePhoto, Scale

from run_graph.graph import (
    Context,
    Fault,
    Field,
    Graph,
    Link,
    Node,
    NodeSpec,
    Outputs,
    Workflow,
    WorkflowError,
    validate,
)
from run_graph.graph.node import validated


def faults_of(work: Callable[[], object]) -> tuple[Fault, ...]:
    with pytest.raises(WorkflowError) as caught:
        work()
    return caught.value.faults


def fault_of(work: Callable[[], object]) -> Fault:
    [fault] = faults_of(work)
    return fault


WRONG_LITERALS: list[tuple[type[Node], dict[str, Any]]] = [
    (Scale, {"width": 1000}),
    (Scale, {"width": 8}),
    (Scale, {"width": 99999}),
    (Scale, {"width": "wide"}),
    (Scale, {"width": 512.5}),
    (Scale, {"width": None}),
    (Scale, {"width": {"a": 1}}),
    (Blur, {"radius": 11}),
    (Blur, {"radius": -0.5}),
    (Blur, {"radius": "soft"}),
    (Blur, {"edge": "wrapp"}),
    (Blur, {"edge": 3}),
    (Blur, {"radius": 11, "edge": "no"}),
    (Blur, {"colour": "red"}),
    (Blur, {"radios": 2}),
]


@pytest.mark.parametrize(("node_class", "values"), WRONG_LITERALS)
def test_a_wrong_literal_is_the_same_fault_in_python_and_in_a_file(
    node_class: type[Node], values: dict[str, Any]
) -> None:
    in_python = faults_of(lambda: node_class(image=Link("photo"), **values))

    photo = NodeSpec("LoadPhoto", {"name": "a"})
    node = NodeSpec(node_class.class_type, {"image": Link("photo"), **values})
    in_file = validate(Workflow({"photo": photo, "node": node}), REGISTRY, ["node"])
    assert [fault.at("node", node_class.class_type) for fault in in_python] == in_file
    assert {fault.class_type for fault in in_python} == {node_class.class_type}


def test_the_message_is_one_line_with_place_legal_values_and_fix() -> None:
    with pytest.raises(WorkflowError) as caught:
        Scale(image=Link("photo"), width=1000)
    assert str(caught.value) == (
        "Scale, input 'width': the value is not a multiple of 16 (found 1000; expected INT, from 16 to 4096, "
        "a multiple of 16). The nearest legal values are 992 and 1008. [value_not_a_multiple]"
    )
    assert "pydantic" not in "".join(traceback.format_exception(caught.value)).rpartition("Error:")[2]


def test_a_missing_input_and_a_misspelt_one_are_told_together() -> None:
    with pytest.raises(WorkflowError) as caught:
        Blur(imagee=Link("photo"))  # type: ignore[call-arg]
    missing, misspelt = sorted(caught.value.faults, key=lambda fault: fault.code)
    assert (missing.code, missing.input) == ("required_input_missing", "image")
    assert (misspelt.code, misspelt.input) == ("unknown_input", "imagee")
    assert misspelt.fix == "Did you mean 'image'?"
    assert str(caught.value).splitlines()[0] == "2 faults"


def test_a_missing_literal_is_asked_for_in_python() -> None:
    fault = fault_of(lambda: LoadPhoto())  # type: ignore[call-arg]
    assert fault.fix == "Give it: name=..."


def test_a_missing_link_names_a_node_that_makes_it() -> None:
    from run_graph.nodes import TextEncode

    fault = fault_of(lambda: TextEncode(prompt="a fox"))  # type: ignore[call-arg]
    assert fault.fix.startswith("Pass an output of LoadFlux")
    assert fault.fix.endswith(": text_encoders=g.add(LoadFlux(...)).text_encoders.")


@pytest.mark.parametrize("value", ["photo.png", ["photo", 0], 5, Mask(), None])
def test_a_value_where_a_link_is_wanted(value: Any) -> None:
    fault = fault_of(lambda: Blur(image=value))
    assert (fault.code, fault.message) == ("invalid_input_type", "this input takes a link, not a value")
    assert fault.expected == "a link to an IMAGE output"
    assert fault.fix.startswith("Pass an output of ")


def test_a_node_where_its_output_is_wanted() -> None:
    fault = fault_of(lambda: Blur(image=LoadPhoto(name="a")))  # type: ignore[arg-type]
    assert (fault.message, fault.found) == ("this is a node, not one of its outputs", "the node LoadPhoto")
    assert fault.fix == "Add it to the graph and pass its output 'image': image=g.add(...).image."


def test_all_outputs_where_one_is_wanted() -> None:
    photo = Graph(REGISTRY).add(LoadPhoto(name="a"), id="photo")
    fault = fault_of(lambda: Scale(image=photo.image, mask=photo))  # type: ignore[arg-type]
    assert fault.message == "these are all outputs of a node, not one of them"
    assert (fault.found, fault.fix) == ("the outputs of 'photo'", "Pass its output 'mask': mask=....mask.")


def test_a_node_or_outputs_of_which_none_fits() -> None:
    saved: Any = SavePhoto(image=Link("a"))
    assert fault_of(lambda: Blur(image=saved)).fix.startswith("Pass an output of ")
    photo: Any = Graph(REGISTRY).add(LoadPhoto(name="a"))
    fault = fault_of(lambda: Blur(image=photo.image, radius=photo))
    assert (fault.found, fault.fix) == ("the outputs of 'load_photo'", "Write FLOAT, from 0 to 10.")


def test_outputs_in_the_place_of_a_literal() -> None:
    photo = Graph(REGISTRY).add(LoadPhoto(name="a"), id="photo")
    fault = fault_of(lambda: LoadPhoto(name=photo))  # type: ignore[arg-type]
    assert fault.message == "these are all outputs of a node, not one of them"
    assert fault.expected == "STRING"


def test_an_input_without_its_name_is_explained() -> None:
    with pytest.raises(TypeError, match=r"LoadPhoto takes its inputs by name, such as name=\.\.\."):
        LoadPhoto("fox.png")  # type: ignore[misc]


# -- Paths ------------------------------------------------------------------------------------------


class Letter(Node):
    """Has a text of several lines and the name of a file."""

    is_output = True

    text: str = Field(default="", description="Words.", json_schema_extra={"multiline": True})
    file: str | None = Field(default=None, description="A file.")
    number: int = Field(default=0, description="A number.")

    def run(self, ctx: Context) -> "Sent":
        return Sent(file=str(self.file))


class Sent(Outputs):
    file: str


def test_a_path_is_taken_where_a_file_is_named() -> None:
    assert LoadPhoto(name=Path("a") / "fox.png") == LoadPhoto(name="a/fox.png")  # type: ignore[arg-type]
    assert Letter(file=Path("x")).file == "x"  # type: ignore[arg-type]


def test_a_path_is_a_fault_in_place_of_a_text_or_a_number() -> None:
    fault = fault_of(lambda: Letter(text=Path("prompt.txt")))  # type: ignore[arg-type]
    assert fault.fix == "To give what is in the file: text=path.read_text()."
    assert fault_of(lambda: Letter(number=Path("5"))).input == "number"  # type: ignore[arg-type]


def test_a_path_is_taken_beside_another_fault_which_is_told() -> None:
    fault = fault_of(lambda: Letter(file=Path("x"), number="many"))  # type: ignore[arg-type]
    assert fault.input == "number"


# -- Adding -----------------------------------------------------------------------------------------


def test_an_id_that_is_taken() -> None:
    g = Graph(REGISTRY)
    g.add(LoadPhoto(name="a"), id="photo")
    fault = fault_of(lambda: g.add(LoadPhoto(name="b"), id="photo"))
    assert (fault.code, fault.fix) == ("duplicate_id", "Give it another id.")
    assert len(g) == 1


@pytest.mark.parametrize(("name", "value"), [("id", 5), ("id", b"a"), ("title", 5), ("id", "\ud83d")])
def test_ids_and_titles_are_text(name: str, value: Any) -> None:
    g = Graph(REGISTRY)
    assert fault_of(lambda: g.add(LoadPhoto(name="a"), **{name: value})).code == f"invalid_{name}"
    assert len(g) == 0


def test_a_wrong_output_is_the_same_fault_in_python_and_in_a_file() -> None:
    g = Graph(REGISTRY)
    photo = g.add(LoadPhoto(name="a"), id="photo")
    in_python = fault_of(lambda: g.add(Blur(image=photo.mask), id="blur"))  # type: ignore[arg-type]

    photo_spec = NodeSpec("LoadPhoto", {"name": "a"})
    blur_spec = NodeSpec("Blur", {"image": Link("photo", "mask")})
    [in_file] = validate(Workflow({"photo": photo_spec, "blur": blur_spec}), REGISTRY, ["blur"])
    assert in_python.fix == "Link its output 'image' instead."
    assert in_file.fix.startswith("Link its output 'image' instead: ")
    assert str(in_python).partition(" Link")[0] == str(in_file).partition(" Link")[0]


def test_a_node_that_makes_nothing_of_the_kind() -> None:
    g = Graph(REGISTRY)
    saved = g.add(Keep(value=1))
    blur = g.add(Blur(image=g.add(LoadPhoto(name="a")).image))
    fault = fault_of(lambda: g.add(Scale(image=blur.image, mask=blur.image)))  # type: ignore[arg-type]
    assert fault.fix == "Link it to a node that makes MASK, such as LoadPhoto."
    assert saved is not None


def test_a_link_to_another_graph_to_no_node_and_to_no_output() -> None:
    one, other = Graph(REGISTRY), Graph(REGISTRY)
    photo = one.add(LoadPhoto(name="a"), id="photo")
    other.add(LoadPhoto(name="a"), id="photo")
    assert fault_of(lambda: other.add(Blur(image=photo.image))).code == "link_to_another_graph"
    missing: Any = Link("phot")
    fault = fault_of(lambda: other.add(Blur(image=missing)))
    assert (fault.code, fault.fix) == ("link_to_missing_node", "Did you mean 'photo'?")
    no_output: Any = Link("photo", 7)
    assert fault_of(lambda: other.add(Blur(image=no_output))).code == "link_to_missing_output"


def test_a_link_by_the_name_of_an_output_becomes_its_slot() -> None:
    g = Graph(REGISTRY)
    g.add(LoadPhoto(name="a"), id="photo")
    by_name: Any = Link("photo", "mask")
    g.add(Scale(image=Link("photo"), mask=by_name), id="scale")  # type: ignore[arg-type]
    assert g.workflow.to_json()["scale"]["inputs"]["mask"] == ["photo", 1]


def test_all_wrong_links_are_told_at_once() -> None:
    g = Graph(REGISTRY)
    photo = g.add(LoadPhoto(name="a"))
    faults = faults_of(lambda: g.add(Scale(image=photo.mask, mask=photo.image)))  # type: ignore[arg-type]
    assert [fault.input for fault in faults] == ["image", "mask"]


def test_a_value_that_a_file_cannot_hold_in_the_place_of_a_link() -> None:
    g = Graph(REGISTRY)
    blur = Blur(image=Image("made in Python"))  # good for run, as tests of nodes use it
    fault = fault_of(lambda: g.add(blur))
    assert (fault.input, fault.found) == ("image", "Image(made in Python)")
    assert fault.fix == "Pass an output of LoadPhoto, Blur, Scale: image=g.add(LoadPhoto(...)).image."


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "value",
    [{1, 2}, object(), b"x", (1, 2), [("a", 0)], {1: 2}, float("nan"), {"a": float("inf")}, Path("x"),
     [Link("a")], "\ud83d", ["\ud83d"], {"\ud83d": 1}, 1j, Image("a"), ENDLESS],
)  # fmt: skip
def test_a_literal_that_a_file_cannot_hold(value: Any) -> None:
    g = Graph(REGISTRY)
    fault = fault_of(lambda: g.add(Keep(value=value)))
    assert (fault.node_id, fault.input, fault.code) == ("keep", "value", "invalid_input_type")
    str(fault).encode()  # can be printed
    assert len(g) == 0


# -- Running ----------------------------------------------------------------------------------------


def test_a_target_of_another_graph_is_not_taken_for_a_node_of_the_same_name() -> None:
    one, other = Graph(REGISTRY), Graph(REGISTRY)
    photo = one.add(LoadPhoto(name="a"), id="photo")
    other.add(LoadPhoto(name="b"), id="photo")
    for target in (photo, photo.image, [photo.image]):
        assert fault_of(lambda target=target: other.run(target)).code == "target_not_found"


def test_an_unknown_target_is_named() -> None:
    g = Graph(REGISTRY)
    g.add(LoadPhoto(name="a"), id="photo")
    assert fault_of(lambda: g.run("phot")).fix == "Did you mean 'photo'?"


# -- The exception ----------------------------------------------------------------------------------


def test_one_class_is_raised_which_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="not a multiple of 16"):
        Scale(image=Link("photo"), width=1000)


@pytest.mark.parametrize("copied", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_it_can_be_copied_and_pickled(copied: Callable[[Any], Any]) -> None:
    with pytest.raises(WorkflowError) as caught:
        Blur(imagee=Link("photo"), radius=11)  # type: ignore[call-arg]
    again = copied(caught.value.in_file("a.json"))
    assert (str(again), again.faults, again.source) == (
        str(caught.value.in_file("a.json")),
        caught.value.faults,
        "a.json",
    )


def test_a_rule_over_several_inputs_is_told_too() -> None:
    def even(value: int) -> int:
        if value % 2:
            raise ValueError("The number must be even.")
        return value

    class Pair(Node):
        x: Annotated[int, AfterValidator(even)]

        def run(self, ctx: Context) -> Sent:
            return Sent(file="")

    fault = fault_of(lambda: Pair(x=3))
    assert (fault.code, fault.input) == ("custom_validation_failed", "x")


# -- What it costs ----------------------------------------------------------------------------------


def test_validation_of_files_does_not_call_the_constructor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pydantic calls ``__init__`` at each validation if it takes it for a class's own."""
    calls: list[str] = []
    original = Node.__init__

    def counting(self: Node, **values: Any) -> None:
        calls.append(type(self).__name__)
        original(self, **values)

    monkeypatch.setattr(Node, "__init__", counting)
    assert validated(LoadPhoto, {"name": "a"}).name == "a"
    assert calls == []
    LoadPhoto(name="a")
    assert calls == ["LoadPhoto"]
    assert not LoadPhoto.__pydantic_custom_init__


def test_graph_run_has_the_options_of_the_engine() -> None:
    from run_graph.runtime.engine.session import run

    ours = dict(inspect.signature(Graph.run).parameters)
    engines = dict(inspect.signature(run).parameters)
    for elsewhere in ("cluster", "server"):  # runtime.remote.running takes them
        assert ours.pop(elsewhere).default is None
    for internal in ("self", "targets"):
        ours.pop(internal)
    for internal in ("workflow", "targets", "registry", "executor"):
        engines.pop(internal)
    assert {name: str(option.default) for name, option in ours.items()} == {
        name: str(option.default) for name, option in engines.items()
    }
