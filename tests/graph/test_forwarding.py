"""Outputs that forward an input: how they are declared, followed, and left out of results."""

import pytest
from pydantic import ValidationError
from sample_nodes import Image

from run_graph.graph import Context, Field, Link, Node, NodeSpec, Outputs, Registry, Workflow
from run_graph.graph.forwarding import followed, forwarded_inputs, restored

FORWARDS = {"forwards": "picture"}


class Kept(Outputs):
    picture: Image = Field(description="What was given.", json_schema_extra=FORWARDS)
    name: str = Field(description="Where.")


class Keep(Node):
    """Keep a picture."""

    is_output = True

    picture: Image
    name: str = "a"

    def run(self, ctx: Context) -> Kept:
        return Kept.model_construct(name=self.name)


REGISTRY = Registry([Keep])


def keep(source: Link) -> NodeSpec:
    return NodeSpec("Keep", {"picture": source})


def test_slots_lead_to_the_inputs_that_they_forward() -> None:
    assert forwarded_inputs(Keep) == {0: "picture"}


@pytest.mark.parametrize("name", ["name", "other", "maybe"])
def test_only_a_required_input_for_links_can_be_forwarded(name: str) -> None:
    class Wrong(Outputs):
        picture: Image = Field(json_schema_extra={"forwards": name})

    class Keeper(Keep):
        class_type = "Keeper"
        maybe: Image | None = None

        def run(self, ctx: Context) -> Wrong:  # type: ignore[override]
            return Wrong.model_construct()

    with pytest.raises(TypeError, match=f"forwards '{name}', which is not a required input for links"):
        Registry([Keeper])


@pytest.mark.parametrize("slot", [0, "picture"])
def test_a_link_is_followed_past_all_nodes_that_forward(slot: int | str) -> None:
    workflow = Workflow({"one": keep(Link("photo", 2)), "two": keep(Link("one", slot))})
    assert followed(workflow, REGISTRY, Link("two", slot)) == Link("photo", 2)


@pytest.mark.parametrize("link", [Link("one", 1), Link("one", "name"), Link("one", 7), Link("none", 0)])
def test_other_links_stay(link: Link) -> None:
    assert followed(Workflow({"one": keep(Link("photo", 0))}), REGISTRY, link) == link


def test_following_a_cycle_ends() -> None:
    workflow = Workflow({"one": keep(Link("two", 0)), "two": keep(Link("one", 0))})
    assert followed(workflow, REGISTRY, Link("one", 0)).slot == 0


def test_a_result_is_restored_with_and_without_what_was_forwarded() -> None:
    assert vars(restored(Kept, {"name": "a"})) == {"name": "a"}
    picture = Image("a fox")
    assert vars(restored(Kept, {"picture": picture, "name": "a"})) == {"picture": picture, "name": "a"}


@pytest.mark.parametrize("values", [{}, {"picture": None, "name": "a"}, {"name": "a", "more": 1}])
def test_values_of_another_result_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        restored(Kept, values)
