"""Whether a run's models can be had is known before the first of them is read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub, serving, use
from small import WORKFLOWS, shipped, shrunk, with_each

from run_graph.graph import Registry, Workflow
from run_graph.nodes import NODES
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import NodeFailed
from run_graph.runtime.models import hub
from run_graph.runtime.models.store import ModelStore


@pytest.fixture
def server(small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with serving(small_folder) as served:
        use(served, tmp_path / "hub", monkeypatch)
        yield served


def redux_workflow(flux: str, redux: str) -> Workflow:
    return with_each(shrunk(shipped("redux"), flux), "LoadRedux", model=redux)


def run(workflow: Workflow, store: ModelStore, folder: Path) -> None:
    environment = RunEnvironment([WORKFLOWS], folder / "out")
    Session(Registry(NODES), NoCache(), Services(store)).run(workflow, environment=environment)


def refusal(workflow: Workflow, folder: Path) -> str:
    """Why the run fails; no model has been read, nor downloaded."""
    store = ModelStore()
    with pytest.raises(NodeFailed) as caught:
        run(workflow, store, folder)
    assert not store.loads
    return str(caught.value)


def asked(server: Hub) -> list[str]:
    return [path for _, path, _ in server.requests if path.endswith("/auth-check")]


@pytest.mark.parametrize(("flux", "redux"), [("local", "some/model"), ("some/model", "local")])
def test_a_licence_is_missed_before_the_first_stage_computes(
    server: Hub, small_folder: Path, tmp_path: Path, flux: str, redux: str
) -> None:
    server.gated = True
    places = {"local": str(small_folder)}
    message = refusal(redux_workflow(places.get(flux, flux), places.get(redux, redux)), tmp_path)
    assert "some/model is gated" in message
    assert "https://huggingface.co/some/model" in message


def test_a_repository_that_does_not_exist_is_missed_before_the_first_download(
    server: Hub, tmp_path: Path
) -> None:
    server.missing = {"some/redux"}
    assert "no repository some/redux" in refusal(redux_workflow("some/flux", "some/redux"), tmp_path)


@pytest.mark.parametrize("first", ["flux", "redux"])
def test_offline_a_missing_model_is_named_before_the_other_computes(
    server: Hub, small_folder: Path, tmp_path: Path, first: str
) -> None:
    names = {"flux": "some/model", "redux": "some/model", first: str(small_folder)}
    with hub.offline():
        message = refusal(redux_workflow(names["flux"], names["redux"]), tmp_path)
    assert "some/model is not in the local Hugging Face cache" in message
    assert server.requests == []


def test_each_repository_is_asked_about_once_and_then_used(server: Hub, tmp_path: Path) -> None:
    store = ModelStore()
    workflow = redux_workflow("some/flux", "some/redux")
    run(workflow, store, tmp_path)
    assert len(asked(server)) == 1, "the other one was downloaded first"
    assert store.loads
    server.requests.clear()
    run(workflow, ModelStore(), tmp_path)
    assert server.requests == [], "all is on this machine now"


def test_models_on_this_machine_ask_nobody(server: Hub, small_folder: Path, tmp_path: Path) -> None:
    run(redux_workflow(str(small_folder), str(small_folder)), ModelStore(), tmp_path)
    assert server.requests == []
