"""Runs on a cluster: what runs where, and that results, files and events are those of one machine."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from engine import workflow

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

from cluster_nodes import REGISTRY, Ends, Here, Pair, Steps, Warned
from cluster_runs import ClusterRun
from small import make_project

from run_graph.graph import Graph, Workflow, load_workflow
from run_graph.runtime.cache import MemoryCache, NoCache
from run_graph.runtime.cluster.local import LocalCluster
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.job import Job
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import Cancelled, NodeFailed
from run_graph.runtime.events import Event, NodeProgress, NodeStarted


def test_heavy_nodes_run_in_workers_and_the_others_here(cluster: LocalCluster) -> None:
    given = workflow(
        a=(Steps, {"name": "a"}),
        b=(Steps, {"name": "b"}),
        c=(Here, {"after": "@a.1"}),
        p=(Pair, {"value": "@b"}),
    )
    run = ClusterRun(cluster.address, REGISTRY)
    found = run.run(given, ["a", "b", "c", "p"]).by_node
    places = {name: outputs.process for name, outputs in found.items()}  # type: ignore[attr-defined]
    assert places["c"] == places["p"] == os.getpid()
    assert {places["a"], places["b"]} <= {*cluster.pids}


def test_events_come_in_order_each_once_with_previews(cluster: LocalCluster) -> None:
    run = ClusterRun(cluster.address, REGISTRY)
    run.run(workflow(a=(Steps, {"count": 40, "name": "order"})), ["a"])
    kinds = [event.kind for event in run.events]
    assert kinds[:2] == ["run_started", "node_started"]
    assert kinds[-2:] == ["node_finished", "run_finished"]
    progress = run.of("node_progress")
    assert [event.value for event in progress] == list(range(41))
    assert progress[-1].preview.tolist() == [39.0] * 3


def test_a_warning_and_a_value_of_mlx_arrive(cluster: LocalCluster) -> None:
    run = ClusterRun(cluster.address, REGISTRY)
    latent = run.run(workflow(w=(Warned, {})), ["w"]).by_node["w"].latent  # type: ignore[attr-defined]
    assert (latent.samples.shape, str(latent.samples.dtype)) == ((1, 2, 2, 16), "mlx.core.bfloat16")
    assert [event.message for event in run.of("node_warning")] == ["cut"]


def test_a_strict_run_fails_where_it_would_warn(cluster: LocalCluster) -> None:
    run = ClusterRun(cluster.address, REGISTRY)
    run.session.strict = True
    with pytest.raises(NodeFailed, match=r"node 'w' \(Warned\) failed: cut"):
        run.run(workflow(w=(Warned, {})), ["w"])


def test_a_failure_is_the_nodes_own(cluster: LocalCluster) -> None:
    run = ClusterRun(cluster.address, REGISTRY)
    with pytest.raises(NodeFailed, match=r"node 'e' \(Ends\) failed: too wide") as caught:
        run.run(workflow(e=(Ends, {"file": "", "how": "raise"})), ["e"])
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.inputs["how"] == '"raise"'
    assert [event.kind for event in run.events[-2:]] == ["node_failed", "run_finished"]


def test_equal_steps_run_once_and_a_known_result_needs_no_cluster(cluster: LocalCluster) -> None:
    given = workflow(
        h=(Here, {}),
        a=(Steps, {"name": "same", "count": "@h.1"}),
        i=(Here, {"after": 1}),
        b=(Steps, {"name": "same", "count": "@i.1"}),
    )
    cache = MemoryCache()
    run = ClusterRun(cluster.address, REGISTRY, cache)
    run.run(given.with_input("a", "count", 2).with_input("b", "count", 2), ["a", "b"])
    run.run(given, ["a", "b"])  # the same values along two ways
    assert len([event for event in run.of("node_started") if event.class_type == "Steps"]) == 1
    assert [event.origin for event in run.of("node_reused")] == ["unchanged"]

    elsewhere = ClusterRun("tcp://127.0.0.1:1", REGISTRY, cache)
    elsewhere.run(given, ["a", "b"])
    assert elsewhere.of("node_started") == []


def test_cancelling_stops_all_workers_within_a_step_and_states_are_kept(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    from run_graph.runtime.cache.open import disk_cache

    given = workflow(
        a=(Steps, {"count": 100, "seconds": 0.02, "name": "a"}),
        b=(Steps, {"count": 100, "seconds": 0.02, "name": "b"}),
    )
    run = ClusterRun(cluster.address, REGISTRY, disk_cache(str(tmp_path), pytest.fail))
    begun: set[str] = set()

    def stop(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.value >= 3:
            begun.add(event.node_id)
            if len(begun) == 2:
                run.token.cancel()

    with pytest.raises(Cancelled):
        run.run(given, ["a", "b"], stop)
    kept = {event.node_id: event.value for event in run.of("node_interrupted")}
    assert kept.keys() == {"a", "b"}
    assert all(value > 0 for value in kept.values())

    # The workers are free at once, and go on where they were.
    found = run.run(given, ["a"]).by_node["a"]
    resumed = [event.value for event in run.of("node_resumed")]
    assert resumed[0] >= kept["a"]
    assert found.steps == 100 - resumed[0]  # type: ignore[attr-defined]


def test_a_lost_workers_step_goes_on_elsewhere_from_its_last_state(cluster: LocalCluster) -> None:
    run = ClusterRun(cluster.address, REGISTRY)
    given = workflow(a=(Steps, {"count": 40, "seconds": 0.05, "name": "lost"}))
    killed: list[int] = []

    def kill(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.value >= 5 and not killed:
            killed.extend(cluster.pids)
            for pid in killed:
                os.kill(pid, 9)

    found = run.run(given, ["a"], kill).by_node["a"]
    warnings = [event.message for event in run.of("node_warning")]
    assert warnings  # two, if it was given to the other dead worker before that was noticed
    assert all("was lost" in warning for warning in warnings)
    resumed = run.of("node_resumed")[-1]
    assert resumed.value >= 4
    assert found.steps == 40 - resumed.value  # type: ignore[attr-defined]
    assert len(run.of("node_started")) == len(run.of("node_finished")) == 1


@pytest.fixture
def sweep(tmp_path: Path, small_model: str) -> Workflow:
    return load_workflow(make_project(tmp_path, small_model))


def jobs(sweep: Workflow, folder: Path, output: str) -> list[Job]:
    environment = RunEnvironment([folder], folder / output)
    return [Job(sweep.with_input("sample", "seed", seed), environment, name=f"j{seed}") for seed in range(6)]


def test_two_clients_share_a_cluster(cluster: LocalCluster) -> None:
    def run(name: str) -> int:
        given = workflow(a=(Steps, {"count": 5, "name": name}), b=(Steps, {"count": 6, "name": name}))
        found = ClusterRun(cluster.address, REGISTRY).run(given, ["a", "b"]).by_node
        return found["a"].steps + found["b"].steps  # type: ignore[attr-defined,no-any-return]

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(run, ["one", "two"])) == [11, 11]


def test_a_graph_built_in_python_runs_there_too(cluster: LocalCluster, tmp_path: Path) -> None:
    graph = Graph(REGISTRY)
    steps = graph.add(Steps(count=2, name="python"))
    result = graph.run(steps, cluster=cluster.address, output_directory=tmp_path, cache=False)
    assert result.value(steps.process) in cluster.pids


def test_a_sweeps_files_are_those_of_one_machine_and_each_worker_loads_a_model_once(
    cluster: LocalCluster, sweep: Workflow, tmp_path: Path
) -> None:
    Session(cache=NoCache()).run_together(jobs(sweep, tmp_path, "one"))
    run = ClusterRun(cluster.address)
    events: list[Event] = []
    run.session.run_together(jobs(sweep, tmp_path, "many"), on_event=events.append)

    one, many = (sorted((tmp_path / name).iterdir()) for name in ("one", "many"))
    assert [path.name for path in many] == [path.name for path in one]
    assert len(one) == 6
    for here, there in zip(one, many, strict=True):
        assert described(there) == described(here)
    loads = [(event.component) for event in events if event.kind == "model_loaded"]
    assert {"transformer", "vae", "text_encoder_2", "image_encoder", "image_embedder"} <= {*loads}
    assert all(loads.count(component) <= 2 for component in loads), loads  # two workers
    assert len([event for event in events if isinstance(event, NodeStarted)]) == 6 * 3 + 8


def described(path: Path) -> dict[str, object]:
    """The pixels, and all that the file says of itself but for how long it took."""
    from PIL import Image

    with Image.open(path) as picture:
        facts = {name: json.loads(text) if text[:1] in "{[" else text for name, text in picture.text.items()}  # type: ignore[attr-defined]
        return {"pixels": picture.tobytes(), **{name: _timeless(fact) for name, fact in facts.items()}}


def _timeless(fact: object) -> object:
    if isinstance(fact, dict):
        return {name: _timeless(item) for name, item in fact.items() if "seconds" not in name}
    return [_timeless(item) for item in fact] if isinstance(fact, list) else fact
