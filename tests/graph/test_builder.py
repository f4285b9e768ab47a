"""Building a workflow in Python: handles, errors while building, files, running."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sample_nodes import REGISTRY, Blur, Keep, LoadPhoto, SavePhoto, Scale

from run_graph.graph import Context, Field, Graph, Node, Outputs, Registry, WorkflowError, load_workflow
from run_graph.graph import engine as engine_module
from run_graph.runtime.engine.context import CancelToken
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import Cancelled, NodeFailed


class Word(Outputs):
    text: str


class Shout(Node):
    """Convert to capitals. The class is not registered anywhere."""

    is_output = True

    text: str = Field(description="Words.")

    def run(self, ctx: Context) -> Word:
        return Word(text=self.text.upper())


def fox() -> tuple[Graph, Any]:
    g = Graph(REGISTRY)
    photo = g.add(LoadPhoto(name="fox.png"), id="photo", title="A fox")
    blur = g.add(Blur(image=photo.image, radius=2))
    scale = g.add(Scale(image=blur.image, mask=photo.mask))
    return g, g.add(SavePhoto(image=scale.image))


def test_a_graph_is_a_workflow_with_every_parameter_written_out() -> None:
    g, _ = fox()
    assert len(g) == 4
    assert g.workflow.to_json() == {
        "photo": {"class_type": "LoadPhoto", "inputs": {"name": "fox.png"}, "_meta": {"title": "A fox"}},
        "blur": {"class_type": "Blur", "inputs": {"image": ["photo", 0], "radius": 2.0, "edge": "clamp"}},
        "scale": {
            "class_type": "Scale",
            "inputs": {"image": ["blur", 0], "width": 512, "mask": ["photo", 1]},
        },
        "save_photo": {"class_type": "SavePhoto", "inputs": {"image": ["scale", 0], "prefix": "out"}},
    }


def test_saving_and_loading_gives_an_equal_graph(tmp_path: Path) -> None:
    g, _ = fox()
    path = tmp_path / "fox.json"
    g.save(path)
    again = Graph.load(path, REGISTRY)
    assert again == g
    assert again.workflow == load_workflow(path)
    assert [file.name for file in tmp_path.iterdir()] == ["fox.json"]
    g.add(LoadPhoto(name="other.png"))
    assert again != g
    g.save(path)
    assert Graph.load(path, REGISTRY) == g


def test_literals_that_look_like_links_survive_the_file(tmp_path: Path) -> None:
    values: list[Any] = [["photo", 0], [], {"__value__": ["x", 1]}, {"__value__": 3}, {"a": [1, [2]]}, None]
    g = Graph(REGISTRY)
    for value in values:
        g.add(Keep(value=value))
    g.save(tmp_path / "w.json")
    assert Graph.load(tmp_path / "w.json", REGISTRY) == g
    result = Graph.load(tmp_path / "w.json", REGISTRY).run()
    ids = list(g.workflow.nodes)
    assert [result.outputs(node_id).value for node_id in ids] == values  # type: ignore[attr-defined]


def test_an_empty_graph_can_be_saved_and_loaded(tmp_path: Path) -> None:
    Graph(REGISTRY).save(tmp_path / "w.json")
    assert len(Graph.load(tmp_path / "w.json", REGISTRY)) == 0


def test_a_loaded_graph_can_be_extended(tmp_path: Path) -> None:
    g, _ = fox()
    g.save(tmp_path / "w.json")
    again = Graph.load(tmp_path / "w.json", REGISTRY)
    photo: Any = again.outputs("photo")
    second = again.add(SavePhoto(image=photo.image, prefix="second"))
    assert again.run([second]).value(second.path) == "second:fox.png"
    with pytest.raises(KeyError, match="the graph has no node 'foto'"):
        again.outputs("foto")


def test_loading_a_file_with_faults_names_the_file_and_all_faults(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text(json.dumps({"a": {"class_type": "Blur", "inputs": {"radius": 99}}}))
    with pytest.raises(WorkflowError) as error:
        Graph.load(path, REGISTRY)
    assert str(error.value).startswith(f"{path}: 2 faults\n")
    assert {fault.code for fault in error.value.faults} == {"required_input_missing", "value_bigger_than_max"}


def test_default_ids_are_derived_from_class_names() -> None:
    g = Graph(REGISTRY)
    for _ in range(3):
        g.add(LoadPhoto(name="a"))
    assert list(g.workflow.nodes) == ["load_photo", "load_photo_2", "load_photo_3"]


def test_a_default_id_avoids_ids_that_were_given() -> None:
    g = Graph(REGISTRY)
    g.add(LoadPhoto(name="a"), id="load_photo")
    g.add(LoadPhoto(name="a"))
    assert list(g.workflow.nodes) == ["load_photo", "load_photo_2"]


def test_a_handle_has_no_value_while_the_graph_is_being_built() -> None:
    photo = Graph(REGISTRY).add(LoadPhoto(name="a"), id="photo")
    assert repr(photo.image) == "<IMAGE photo.image>"
    with pytest.raises(
        AttributeError, match=r"output 'image' of node 'photo' has no value.*asked for \.story"
    ):
        photo.image.story  # noqa: B018


def test_the_node_given_to_add_is_not_changed() -> None:
    g = Graph(REGISTRY)
    photo = g.add(LoadPhoto(name="a"))
    blur = Blur(image=photo.image)
    before = blur.model_copy()
    g.add(blur)
    g.add(blur)
    assert blur == before
    assert len(g) == 3


def test_running_computes_the_output_nodes() -> None:
    g, saved = fox()
    result = g.run()
    assert result.value(saved.path) == "out:fox.png~2clamp@512"
    assert result.outputs("save_photo").path == "out:fox.png~2clamp@512"  # type: ignore[attr-defined]


def test_targets_are_ids_handles_or_outputs_of_add() -> None:
    g = Graph(REGISTRY)
    photo = g.add(LoadPhoto(name="a"))
    blur = g.add(Blur(image=photo.image))
    for target in ("blur", blur, blur.image):
        for targets in (target, [target], [target, "load_photo"]):
            assert g.run(targets).value(blur.image).story == "a~1clamp"
    with pytest.raises(
        TypeError, match="a target is a node id, an output handle or the outputs that add returned, not int"
    ):
        g.run([5])


def test_asking_for_the_value_of_a_node_that_was_not_a_target_is_explained() -> None:
    g, saved = fox()
    result = g.run(["photo"])
    with pytest.raises(KeyError, match="'save_photo' was not a target of this run; name it in targets"):
        result.value(saved.path)
    with pytest.raises(TypeError, match="value takes an output handle, not str"):
        result.value("path")


def test_a_result_tells_its_nodes_and_its_time() -> None:
    g, saved = fox()
    result = g.run(["photo", saved])
    assert result.seconds > 0
    assert re.fullmatch(r"<RunResult of photo, save_photo after \d+\.\d\d s>", repr(result))
    many = Graph(REGISTRY)
    for number in range(12):
        many.add(Keep(value=number))
    assert "keep_10 and 2 more after" in repr(many.run())


def test_a_run_can_be_stopped_by_its_token() -> None:
    g, _ = fox()
    token = CancelToken()
    with pytest.raises(Cancelled):
        g.run(token=token, on_event=lambda event: token.cancel(), cache=False)
    assert g.run(token=CancelToken(), cache=False).seconds > 0


def test_a_session_keeps_its_own_results() -> None:
    g, saved = fox()
    session, kinds = Session(), []
    for _ in range(2):
        g.run(saved, session=session, on_event=lambda event: kinds.append(event.kind))
    assert kinds.count("node_started") == 4
    for options in ({"session": Session()}, {"session": session, "cache": False}):
        kinds.clear()
        g.run(saved, on_event=lambda event: kinds.append(event.kind), **options)
        assert kinds.count("node_started") == 4


def test_strictness_is_the_runs_or_the_sessions() -> None:
    class Warns(Node):
        is_output = True

        def run(self, ctx: Context) -> Word:
            ctx.warn("a word is missing")
            return Word(text="")

    g = Graph(Registry())
    g.add(Warns())
    assert g.run(cache=False, session=Session()).seconds >= 0
    for options in ({"strict": True}, {"session": Session(strict=True)}):
        with pytest.raises(NodeFailed, match="a word is missing"):
            g.run(**options)


def test_faults_are_reported_when_run() -> None:
    g = Graph(REGISTRY)
    g.add(LoadPhoto(name="missing.png"), id="photo")
    with pytest.raises(WorkflowError, match=r"node 'photo'.*there is no such picture"):
        g.run(["photo"])


def test_nodes_that_were_never_registered_can_be_run() -> None:
    g = Graph(Registry())
    word = g.add(Shout(text="fox"))
    assert g.run().value(word.text) == "FOX"


def test_events_and_folders_are_passed_to_the_engine(tmp_path: Path) -> None:
    kinds: list[str] = []
    g = Graph(Registry())
    g.add(Shout(text="events"))
    g.run(on_event=lambda event: kinds.append(event.kind), output_directory=tmp_path)
    assert kinds == ["run_started", "node_started", "node_finished", "run_finished"]


def test_running_without_an_engine_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "entry_points", lambda group: [])
    g, _ = fox()
    with pytest.raises(WorkflowError, match=r"no engine is installed\. Install the run-graph package"):
        g.run()


def test_a_graph_is_not_hashable() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Graph())
