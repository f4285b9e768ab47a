"""Sweeping inputs: what is copied, what is shared, what the copies are called."""

import time

import pytest
from engine import Engine, workflow
from sample_nodes import REGISTRY, Blur, LoadPhoto, SavePhoto, Scale

from run_graph.graph import Field, Link, Node, Outputs, Registry, Workflow
from run_graph.runtime.sweep.expansion import Axis, Sweep, expand
from run_graph.runtime.sweep.labels import input_names, slugs, value_label


class SaveAs(Node):
    """An output node with ComfyUI's file name prefix."""

    is_output = True

    text: str = Field(description="What to save.")
    filename_prefix: str = "file"

    def run(self, ctx: object) -> "SavedAs":
        return SavedAs(path=f"{self.filename_prefix}:{self.text}")


class SavedAs(Outputs):
    path: str


class Say(Node):
    """Text in, text out."""

    text: str = ""

    def run(self, ctx: object) -> "Said":
        return Said(text=self.text)


class Said(Outputs):
    text: str


SAVING = Registry([SaveAs, Say])


def photos() -> Workflow:
    """Two photos; the first is blurred, scaled and saved, the second only saved."""
    return workflow(
        photo=(LoadPhoto, {"name": "cat"}),
        other=(LoadPhoto, {"name": "dog"}),
        blur=(Blur, {"image": "@photo", "radius": 1}),
        scale=(Scale, {"image": "@blur"}),
        save=(SavePhoto, {"image": "@scale"}),
        save_other=(SavePhoto, {"image": "@other"}),
    )


def swept(*axes: Axis, zipped: bool = False) -> Sweep:
    return expand(photos(), axes, REGISTRY, zipped=zipped)


def results(sweep: Sweep) -> list[str]:
    """What each saving node saved, by running all variants as one workflow."""
    outcome = Engine(REGISTRY).run(sweep.workflow)
    return [outputs.path for outputs in outcome.by_node.values()]  # type: ignore[attr-defined]


def test_without_axes_there_is_one_variant_the_workflow_itself() -> None:
    sweep = swept()
    assert sweep.workflow == photos()
    assert [variant.label for variant in sweep.variants] == [""]


def test_only_nodes_that_a_swept_input_affects_are_copied() -> None:
    sweep = swept(Axis("blur", "radius", (1, 2)), Axis("scale", "width", (16, 32, 64)))
    assert {node_id: len(set(copies)) for node_id, copies in sweep.copies.items()} == {
        "photo": 1,
        "other": 1,
        "blur": 2,
        "scale": 6,
        "save": 6,
        "save_other": 1,
    }
    assert sweep.copies["photo"] == ("photo",) * 6
    assert len(sweep.workflow) == 1 + 1 + 2 + 6 + 6 + 1


def test_the_product_has_each_combination_the_last_axis_changing_fastest() -> None:
    sweep = swept(Axis("blur", "radius", (1, 2)), Axis("scale", "width", (16, 32)))
    assert results(sweep) == [
        "out:cat~1clamp@16",
        "out:cat~1clamp@32",
        "out:cat~2clamp@16",
        "out:cat~2clamp@32",
        "out:dog",
    ]
    assert [variant.label for variant in sweep.variants] == [
        "radius-1_width-16",
        "radius-1_width-32",
        "radius-2_width-16",
        "radius-2_width-32",
    ]


def test_a_zip_pairs_values_and_shares_what_equal_ones_make() -> None:
    axes = Axis("blur", "radius", (1, 1, 2)), Axis("scale", "width", (16, 32, 32))
    sweep = swept(*axes, zipped=True)
    assert sweep.copies["blur"] == ("blur@radius-1", "blur@radius-1", "blur@radius-2")
    assert results(sweep) == ["out:cat~1clamp@16", "out:cat~1clamp@32", "out:cat~2clamp@32", "out:dog"]


def test_each_node_of_the_expanded_workflow_runs_once() -> None:
    engine = Engine(REGISTRY)
    sweep = swept(Axis("blur", "radius", (1, 2)), Axis("scale", "width", (16, 32)))
    engine.run(sweep.workflow)
    assert sorted(engine.ran) == sorted(sweep.workflow.nodes)


def test_ids_are_the_originals_with_the_settings_that_make_a_difference() -> None:
    sweep = swept(Axis("blur", "edge", ("clamp", "wrap")), Axis("scale", "width", (16,)))
    assert sweep.copies["blur"] == ("blur@edge-clamp", "blur@edge-wrap")
    assert sweep.copies["save"] == ("save@edge-clamp_width-16", "save@edge-wrap_width-16")
    assert sweep.originals["save@edge-wrap_width-16"] == "save"
    assert sweep.originals["photo"] == "photo"


def test_inputs_with_the_same_name_are_distinguished_by_their_nodes() -> None:
    sweep = swept(Axis("photo", "name", ("cat", "cow")), Axis("other", "name", ("dog",)))
    assert sweep.variants[0].label == "photo.name-cat_other.name-dog"


def test_a_workflow_that_was_expanded_before_can_be_swept_again() -> None:
    once = swept(Axis("blur", "radius", (1, 2))).workflow
    twice = expand(once, [Axis("blur@radius-1", "radius", (1, 2))], REGISTRY)
    assert twice.copies["blur@radius-1"] == ("blur@radius-1@@radius-1", "blur@radius-1@@radius-2")
    assert len(set(twice.workflow.nodes)) == len(twice.workflow)


def test_the_order_of_the_same_arguments_is_always_the_same() -> None:
    axes = Axis("blur", "radius", (1, 2)), Axis("scale", "width", (16, 32))
    assert list(swept(*axes).workflow.nodes) == list(swept(*axes).workflow.nodes)


def test_targets_mean_all_their_copies() -> None:
    sweep = swept(Axis("blur", "radius", (1, 2)))
    assert sweep.targets(["scale", "photo"]) == ["scale@radius-1", "scale@radius-2", "photo"]
    assert sweep.targets(["nobody"]) == ["nobody"]


def test_a_link_can_be_swept_and_what_it_reaches_is_copied_too() -> None:
    axes = Axis("blur", "radius", (1, 2)), Axis("save", "image", (Link("blur", "image"), Link("other", 0)))
    sweep = swept(*axes)
    assert results(sweep)[:4] == ["out:cat~1clamp", "out:dog", "out:cat~2clamp", "out:dog"]


def test_the_callers_workflow_is_not_changed() -> None:
    before = photos()
    expand(before, [Axis("blur", "radius", (1, 2))], REGISTRY)
    assert before == photos()


def test_copies_keep_titles_and_other_inputs() -> None:
    titled = Workflow.from_json(
        {"blur": {"class_type": "Blur", "inputs": {"radius": 1, "edge": "wrap"}, "_meta": {"title": "Soft"}}}
    )
    sweep = expand(titled, [Axis("blur", "radius", (1, 2))], REGISTRY)
    spec = sweep.workflow.nodes["blur@radius-2"]
    assert (spec.title, dict(spec.inputs)) == ("Soft", {"radius": 2, "edge": "wrap"})


def test_a_variant_can_be_restored_under_its_original_ids() -> None:
    sweep = swept(Axis("blur", "radius", (1, 2)), Axis("scale", "width", (16, 32)))
    target = sweep.copies["save"][3]
    part = sweep.workflow.only(sweep.workflow.ancestors([target]))
    alone = photos().with_input("blur", "radius", 2).with_input("scale", "width", 32)
    assert part.renamed(sweep.originals) == alone.only(alone.ancestors(["save"]))


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"text": "@say", "filename_prefix": "cats/anna"}, ["cats/anna_text-a", "cats/anna_text-b"]),
        ({"text": "@say"}, ["file_text-a", "file_text-b"]),
        ({"text": "@say", "filename_prefix": "@say"}, [Link("say@text-a"), Link("say@text-b")]),
    ],
    ids=["stated", "default", "linked"],
)
def test_file_name_prefixes_of_output_nodes_get_the_label(
    inputs: dict[str, str], expected: list[object]
) -> None:
    base = workflow(say=(Say, {}), save=(SaveAs, inputs))
    sweep = expand(base, [Axis("say", "text", ("a", "b"))], SAVING)
    found = [sweep.workflow.nodes[copy].inputs["filename_prefix"] for copy in sweep.copies["save"]]
    assert found == expected


def test_a_swept_prefix_is_not_labelled_with_itself() -> None:
    base = workflow(say=(Say, {}), save=(SaveAs, {"text": "@say"}))
    axes = Axis("save", "filename_prefix", ("x", "y")), Axis("say", "text", ("a", "b"))
    sweep = expand(base, axes, SAVING)
    found = [sweep.workflow.nodes[copy].inputs["filename_prefix"] for copy in sweep.copies["save"]]
    assert found == ["x_text-a", "x_text-b", "y_text-a", "y_text-b"]


def test_an_output_node_that_nothing_swept_reaches_keeps_its_prefix() -> None:
    base = workflow(say=(Say, {}), save=(SaveAs, {"text": "as ever"}))
    sweep = expand(base, [Axis("say", "text", ("a", "b"))], SAVING)
    assert dict(sweep.workflow.nodes["save"].inputs) == {"text": "as ever"}


# -- labels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("low", "low"),
        ("", '""'),
        ("two\n lines", "two lines"),
        (1, "1"),
        (True, "true"),
        (0.5, "0.5"),
        (None, "null"),
        (Link("photo", "image"), "photo.image"),
    ],
)
def test_values_are_shown_as_a_person_writes_them(value: object, label: str) -> None:
    assert value_label(value) == label


def test_slugs_are_fit_for_file_names_and_all_different() -> None:
    labels = ["a cat, asleep", "../../etc/passwd", "-1.5", "1e-05", '""', "übung", "a/b", "a b", "%width%"]
    found = slugs(labels)
    assert found == ["a-cat-asleep", "etc-passwd", "-1.5", "1e-05", "empty", "übung", "a-b", "a-b-8", "width"]


def test_long_labels_are_cut_to_24_bytes_between_characters() -> None:
    assert slugs(["x" * 100, "x" * 101]) == ["x" * 24, "x" * 24 + "-2"]
    assert slugs(["東" * 100]) == ["東" * 8]


def test_a_position_that_is_itself_a_slug_is_skipped() -> None:
    assert slugs(["a-3", "a-3-3", "a/3"]) == ["a-3", "a-3-3", "a-3-3-3"]


def test_names_that_two_inputs_share_are_written_in_full() -> None:
    assert input_names([("a", "x"), ("b", "x"), ("b", "y")]) == ["a.x", "b.x", "y"]


def test_many_labels_get_different_slugs_in_linear_time() -> None:
    started = time.process_time()
    found = slugs([f"a long label of which only the beginning is kept, {i}" for i in range(10_000)])
    assert time.process_time() - started < 1
    assert len(set(found)) == 10_000
