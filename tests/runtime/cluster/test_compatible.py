"""Which workers are refused, and in which words."""

import time
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from engine import workflow

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

from cluster_nodes import REGISTRY, Steps
from cluster_runs import ClusterRun

from run_graph.runtime.cache.environment import environment_facts
from run_graph.runtime.cluster import remote_steps, start
from run_graph.runtime.cluster.compatible import other_device, refusal
from run_graph.runtime.cluster.errors import ClusterError
from run_graph.runtime.cluster.local import LocalCluster
from run_graph.runtime.cluster.messages import WorkerFacts

OWN = environment_facts()


def changed(**facts: Any) -> Mapping[str, Any]:
    return {**deepcopy(dict(OWN)), **facts}


def test_an_equal_worker_is_used() -> None:
    assert refusal(OWN, WorkerFacts("s", deepcopy(dict(OWN)))) is None


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (
            changed(versions={**OWN["versions"], "mlx": "0.1"}),
            f"mlx is 0.1 there and {OWN['versions']['mlx']} here",
        ),
        (changed(sources=["x", "y"]), "run-graph's source code is not the same"),
        (changed(machine=["Darwin", "arm64"]), "it runs Darwin on arm64"),
        (changed(device=["Device(gpu, 0)", "bfloat16", "x", "y"]), "its number format is bfloat16"),
    ],
)
def test_what_differs_is_said(environment: Mapping[str, Any], said: str) -> None:
    why = refusal(OWN, WorkerFacts("s", environment))
    assert why is not None
    assert why.startswith("its results would differ from this machine's: ")
    assert said in why


def test_another_device_is_used_if_that_is_wanted_but_not_other_code() -> None:
    device = WorkerFacts("s", changed(device=["Device(gpu, 0)", "bfloat16", "x", "y"]))
    code = WorkerFacts("s", changed(sources=["x", "y"], device=["Device(gpu, 0)", "bfloat16", "x", "y"]))
    assert "--any-device" in (refusal(OWN, device) or "")
    assert refusal(OWN, device, any_device=True) is None
    assert "source code" in (refusal(OWN, code, any_device=True) or "")
    assert other_device(OWN, device) not in (None, other_device(OWN, WorkerFacts("s", OWN)))
    assert other_device(OWN, WorkerFacts("s", deepcopy(dict(OWN)))) is None


def test_a_worker_without_mlx_says_why() -> None:
    assert refusal(OWN, WorkerFacts("s", {}, problem="MLX cannot be imported")) == "MLX cannot be imported"


def test_a_run_with_refused_workers_alone_ends_with_the_reasons(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    ClusterRun(cluster.address, REGISTRY).run(workflow(a=(Steps, {})), ["a"])  # both workers are there
    other = changed(versions={**OWN["versions"], "mlx": "9.9"})
    monkeypatch.setattr("run_graph.runtime.cache.environment.environment_facts", lambda: other)
    monkeypatch.setattr(remote_steps, "REFUSED", 0.3)
    run = ClusterRun(cluster.address, REGISTRY)
    started = time.monotonic()
    with pytest.raises(ClusterError, match="can be used") as caught:
        run.run(workflow(a=(Steps, {})), ["a"])
    assert time.monotonic() - started < 20
    assert "9.9 here" in str(caught.value)
    assert run.of("worker_note")
    assert all(event.worker in str(caught.value) for event in run.of("worker_note"))


def test_a_run_without_any_worker_ends_and_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster as DaskCluster

    monkeypatch.setattr(remote_steps, "PATIENCE", 0.2)
    start.silence_dask()
    with (
        DaskCluster(n_workers=0, dashboard_address=":0", processes=False) as empty,
        pytest.raises(ClusterError, match="start one with `run-graph worker"),
    ):
        ClusterRun(empty.scheduler_address, REGISTRY).run(workflow(a=(Steps, {})), ["a"])
