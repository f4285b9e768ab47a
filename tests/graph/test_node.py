"""What is derived from the declaration of a node class: inputs, outputs, defaults, checks."""

import doctest
import inspect
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, ValidationError, model_validator
from sample_nodes import Blur, Image, LoadPhoto, Mask, SavePhoto, Scale

import run_graph.graph.node
from run_graph.graph import Context, Field, Lazy, Link, Node, Outputs, WorkflowError
from run_graph.graph.declaration import inputs_of, outputs_class, outputs_of, prose_of, summary_of
from run_graph.graph.node import validated


class One(Outputs):
    value: float


def test_the_example_in_the_docstring_works() -> None:
    result = doctest.testmod(run_graph.graph.node)
    assert (result.failed, result.attempted) == (0, 4)


def test_inputs_are_the_annotated_fields_in_order() -> None:
    specs = inputs_of(Blur)
    assert list(specs) == ["image", "radius", "edge"]
    assert [spec.socket for spec in specs.values()] == ["IMAGE", "FLOAT", "COMBO"]
    assert specs["image"].link_only
    assert specs["image"].required
    radius = specs["radius"]
    assert (radius.minimum, radius.maximum, radius.default, radius.required) == (0, 10, 1.0, False)
    assert radius.description == "In pixels."
    assert specs["edge"].options == ("clamp", "wrap", "mirror")


def test_step_nullability_and_laziness_are_part_of_an_input() -> None:
    specs = inputs_of(Scale)
    assert specs["width"].multiple_of == 16
    assert specs["mask"].nullable
    assert not specs["width"].nullable

    class Picks(Node):
        wait: Lazy[int] = Field(description="Computed on demand.")
        kind: Literal["a", "b"] | None = Field(default=None, description="Options through a union.")

        def run(self, ctx: Context) -> One:
            return One(value=self.wait)

    assert inputs_of(Picks)["wait"].lazy
    assert not inputs_of(Picks)["kind"].lazy
    assert inputs_of(Picks)["kind"].options == ("a", "b")


def test_hints_for_user_interfaces_are_kept() -> None:
    class Says(Node):
        text: str = Field(default="", description="Words.", json_schema_extra={"multiline": True})

        def run(self, ctx: Context) -> One:
            return One(value=0)

    assert dict(inputs_of(Says)["text"].hints) == {"multiline": True}


@pytest.mark.parametrize(
    ("node_class", "name", "words"),
    [
        (Blur, "image", "a link to an IMAGE output"),
        (Scale, "mask", "a link to a MASK output"),
        (Blur, "radius", "FLOAT, from 0 to 10"),
        (Blur, "edge", "one of clamp, wrap, mirror"),
        (Scale, "width", "INT, from 16 to 4096, a multiple of 16"),
        (LoadPhoto, "name", "STRING"),
    ],
)
def test_the_expectation_of_an_input_in_words(node_class: type[Node], name: str, words: str) -> None:
    assert inputs_of(node_class)[name].expectation() == words


def test_outputs_are_named_typed_and_numbered() -> None:
    image, mask = outputs_of(LoadPhoto)
    assert (image.slot, image.name, image.socket) == (0, "image", "IMAGE")
    assert (mask.slot, mask.name, mask.socket) == (1, "mask", "MASK")
    assert image.description == "The picture."


def test_run_without_an_outputs_annotation_is_refused() -> None:
    class Forgot(Node):
        def run(self, ctx: Context):  # type: ignore[no-untyped-def]
            return None

    with pytest.raises(TypeError, match=r"Forgot\.run must be annotated to return its own subclass of"):
        outputs_class(Forgot)


def test_run_annotated_with_the_base_class_is_refused() -> None:
    class Vague(Node):
        def run(self, ctx: Context) -> Outputs:
            return One(value=0)

    with pytest.raises(TypeError, match="own subclass"):
        outputs_class(Vague)


def test_class_type_is_the_class_name_unless_given() -> None:
    class Named(Node):
        class_type = "Other Name"

        def run(self, ctx: Context) -> One:
            return One(value=0)

    class Child(Named):
        pass

    assert LoadPhoto.class_type == "LoadPhoto"
    assert Named.class_type == "Other Name"
    assert Child.class_type == "Child"  # a subclass is a class of its own


def test_literals_are_validated_and_links_are_accepted() -> None:
    assert Blur(image=Link("photo"), radius=2).radius == 2.0
    assert Blur(image=Link("photo"), radius=Link("x")).radius == Link("x")
    with pytest.raises(WorkflowError):
        Blur(image=Link("photo"), radius=11)
    with pytest.raises(WorkflowError):
        Blur(image="photo.png")


def test_an_invalid_literal_is_reported_as_a_bad_link_and_a_bad_value() -> None:
    with pytest.raises(ValidationError) as caught:
        validated(Blur, {"image": Link("photo"), "radius": 11})
    found = [(detail["loc"], detail["type"]) for detail in caught.value.errors()]
    assert found == [(("radius", "link"), "is_instance_of"), (("radius", "value"), "less_than_equal")]


def test_links_are_accepted_whatever_validators_a_class_adds() -> None:
    class Strict(Node):
        x: Annotated[int, AfterValidator(lambda value: value + 1)] = 3
        y: float | None = None
        z: str = Field("z", validate_default=True)

        @model_validator(mode="before")
        @classmethod
        def before(cls, values: dict[str, Any]) -> dict[str, Any]:
            return {**values, "z": Link("z")}

        @model_validator(mode="after")
        def after(self) -> "Strict":
            if self.y == 1:
                raise ValueError("not one")
            return self

        def run(self, ctx: Context) -> One:
            return One(value=1)

    class Child(Strict):
        w: int

    node = Child(x=Link("x"), y=Link("y"), w=Link("w"))
    assert (node.x, node.y, node.z, node.w) == (Link("x"), Link("y"), Link("z"), Link("w"))
    assert Child(x=1, w=2).x == 2
    with pytest.raises(WorkflowError, match="not one"):
        Child(y=1, w=2)


def test_socket_inputs_take_exactly_their_class() -> None:
    assert isinstance(Blur(image=Image("a")).image, Image)
    with pytest.raises(WorkflowError):
        Blur(image=Mask())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_cannot_hold_is_refused(value: float) -> None:
    class Free(Node):
        x: float

        def run(self, ctx: Context) -> One:
            return One(value=self.x)

    with pytest.raises(WorkflowError, match="finite"):
        Free(x=value)


def test_nodes_and_outputs_cannot_be_changed() -> None:
    node, outputs = SavePhoto(image=Link("a")), One(value=1)
    with pytest.raises(ValidationError):
        node.prefix = "b"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        outputs.value = 2  # type: ignore[misc]


def test_unknown_inputs_and_outputs_are_refused() -> None:
    with pytest.raises(WorkflowError):
        SavePhoto(image=Link("a"), colour="red")  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        One(value=1, other=2)  # type: ignore[call-arg]


def test_defaults_of_the_optional_methods() -> None:
    node: Any = Blur(image=Link("a"))
    assert node.fingerprint(None) is None
    assert list(node.check(None)) == []
    assert set(node.required_lazy_inputs()) == {"image", "radius", "edge"}


def test_the_summary_is_the_docstrings_first_paragraph() -> None:
    class Talks(Node):
        """Say one thing
        on two lines.

        And then more.
        """

    assert summary_of(Talks) == "Say one thing on two lines."
    assert summary_of(Blur) == "Pretend to blur a picture."


def test_help_explains_each_input() -> None:
    text = inspect.getdoc(Blur)
    assert text is not None
    assert text.startswith("Pretend to blur a picture.\n\nInputs\n------\nimage\n    The picture.\n")
    assert text.endswith("edge\n    What lies outside.")
    assert prose_of(Blur) == "Pretend to blur a picture."


def test_a_class_keeps_the_docstring_that_it_has_or_lacks() -> None:
    class Base(Node):
        """Say something.

        At length.
        """

        word: str = Field(description="What.")

    class Silent(Base):
        other: str = Field(description="What else.")

    class Bare(Node):
        """Say nothing."""

    assert prose_of(Base) == "Say something.\n\nAt length."
    assert not Silent.__dict__["__doc__"]
    assert Bare.__doc__ == "Say nothing."


def test_the_json_schema_names_ranges_choices_and_sockets() -> None:
    schema = Blur.model_json_schema()["properties"]
    assert schema["radius"]["maximum"] == 10
    assert schema["edge"]["enum"] == ["clamp", "wrap", "mirror"]
    assert schema["image"]["socket_type"] == "IMAGE"
