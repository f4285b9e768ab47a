"""The executor over a connection that loses what a test wants it to; tasks run in this process."""

import os
import queue
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from engine import ENVIRONMENT, workflow

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

from cluster_nodes import REGISTRY, Here, Pair, Steps

from run_graph.graph import Workflow
from run_graph.runtime.cache import MemoryCache, NoCache, ResultCache
from run_graph.runtime.cache.blob_store import SNAPSHOTS
from run_graph.runtime.cache.open import disk_cache
from run_graph.runtime.cluster.executor import ClusterExecutor
from run_graph.runtime.cluster.messages import Finished, Task
from run_graph.runtime.cluster.news import Done, Joined, Lost, News, Reported
from run_graph.runtime.cluster.wire import Parcel, unpack
from run_graph.runtime.cluster.worker_session import WorkerSession
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import NodeFailed
from run_graph.runtime.events import Event

Tell = Callable[["OneProcess", str, str, Finished], list[News]]


def at_once(link: "OneProcess", worker: str, task: str, finished: Finished) -> list[News]:
    return [Done(worker, task, finished)]


class OneProcess:
    """A connection to workers that are all the same session; ``tell`` says what is heard of a task."""

    def __init__(
        self, session: WorkerSession, workers: int, tell: Tell, run: str, device: str | None = None
    ) -> None:
        self.news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self.address = "tcp://nowhere:1"
        self.tasks: list[Task] = []
        self._session = session
        self._tell = tell
        for number in range(workers):
            self.news.put(Joined(f"w{number}", session.facts(), device))

    def submit(self, worker: str, task: str, parcel: Parcel) -> None:
        self.tasks.append(unpack(parcel))
        for news in self._tell(self, worker, task, self._session.run(parcel)):
            self.news.put(news)

    def stop(self) -> None:
        return None

    def close(self) -> None:
        return None


def run(
    given: Workflow,
    targets: list[str],
    *,
    worker_cache: ResultCache | None = None,
    cache: ResultCache | None = None,
    tell: Tell = at_once,
    workers: int = 2,
    device: str | None = None,
) -> tuple[dict[str, Any], list[Event], list[OneProcess]]:
    links: list[OneProcess] = []

    def connect(name: str) -> OneProcess:
        links.append(OneProcess(WorkerSession(cache=worker_cache), workers, tell, name, device))
        return links[-1]

    events: list[Event] = []
    executor = partial(ClusterExecutor, connect=connect)
    session = Session(REGISTRY, NoCache() if cache is None else cache, executor=executor)
    result = session.run(given, targets=targets, environment=ENVIRONMENT, on_event=events.append)
    return dict(result.by_node), events, links


def values_of(events: list[Event], kind: str) -> list[int]:
    return [event.value for event in events if event.kind == kind]  # type: ignore[attr-defined]


STEPS = workflow(a=(Steps, {"count": 4}))


def test_reports_that_come_twice_or_late_are_taken_once_in_order() -> None:
    def twice(link: OneProcess, worker: str, task: str, finished: Finished) -> list[News]:
        first = Reported(worker, finished.reports[:3])
        return [first, first, Done(worker, task, finished), Reported(worker, finished.reports)]

    _, events, _ = run(STEPS, ["a"], tell=twice)
    assert values_of(events, "node_progress") == [0, 1, 2, 3, 4]
    assert [event.kind for event in events].count("node_started") == 1


def test_a_lost_step_is_sent_again_with_its_newest_state_even_without_a_cache() -> None:
    def lose_first(link: OneProcess, worker: str, task: str, finished: Finished) -> list[News]:
        if len(link.tasks) > 1:
            return at_once(link, worker, task, finished)
        return [Reported(worker, finished.reports), Lost(worker, "it burns"), Done(worker, task, finished)]

    outputs, events, [link] = run(STEPS, ["a"], tell=lose_first)
    first, again = [task.state for task in link.tasks]
    assert first is None
    assert again is not None
    assert values_of(events, "node_resumed") == [again["done"]]
    assert outputs["a"].steps == 4 - again["done"]
    [warning] = [event.message for event in events if event.kind == "node_warning"]  # type: ignore[attr-defined]
    assert warning == "the worker w0 was lost: it burns; the stage is run again"


def test_a_step_that_costs_three_workers_ends_the_run() -> None:
    def lose(link: OneProcess, worker: str, task: str, finished: Finished) -> list[News]:
        return [Reported(worker, finished.reports), Lost(worker, "it burns")]

    with pytest.raises(NodeFailed, match="that was the third worker that it was run on"):
        run(STEPS, ["a"], tell=lose, workers=5)


def test_a_result_that_a_worker_has_already_leaves_no_state_behind(tmp_path: Path) -> None:
    known, cache = MemoryCache(), disk_cache(str(tmp_path), pytest.fail)
    run(STEPS, ["a"], worker_cache=known, cache=MemoryCache())

    # As after a lost scheduler: a state is kept, and the worker has finished the step meanwhile.
    [key] = [task.key for task in run(STEPS, ["a"])[2][0].tasks]
    cache.snapshot(key).save({"done": 2})
    assert list((tmp_path / SNAPSHOTS).iterdir())
    outputs, events, _ = run(STEPS, ["a"], worker_cache=known, cache=cache)
    assert outputs["a"].steps == 4
    assert [event.kind for event in events if event.kind.startswith("node")] == ["node_reused"]
    assert not list((tmp_path / SNAPSHOTS).iterdir())


def test_output_nodes_run_in_the_plans_order_whichever_picture_is_first() -> None:
    held: list[News] = []

    def backwards(link: OneProcess, worker: str, task: str, finished: Finished) -> list[News]:
        """The first half of the tasks is heard of after the second."""
        done = Done(worker, task, finished)
        held.append(done)
        if len(held) < 4:
            return [Done(worker, f"{task} is not over", None)]
        told, held[:] = held[::-1], []
        return told

    nodes = {f"s{i}": (Steps, {"name": str(i), "count": 1}) for i in range(4)}
    saves = {f"p{i}": (Pair, {"value": f"@s{i}", "name": str(i)}) for i in range(4)}
    _, events, _ = run(workflow(**nodes, **saves), [f"p{i}" for i in range(4)], tell=backwards, workers=4)
    finished = [event.node_id for event in events if event.kind == "node_finished"]  # type: ignore[attr-defined]
    assert finished[:4] != sorted(finished[:4]), "the steps ended in another order"
    assert [name for name in finished if name[0] == "p"] == ["p0", "p1", "p2", "p3"]


def test_a_light_node_runs_here_and_no_cluster_is_asked_for() -> None:
    outputs, _, links = run(workflow(h=(Here, {})), ["h"])
    assert outputs["h"].process == os.getpid()
    assert links == []


def test_results_of_another_device_are_kept_apart() -> None:
    cache = MemoryCache()
    run(STEPS, ["a"], cache=cache, device="M4")
    _, here, _ = run(STEPS, ["a"], cache=cache)
    assert [event.kind for event in here].count("node_started") == 1, "the other device's is not used"
    _, again, links = run(STEPS, ["a"], cache=cache)
    assert [event.origin for event in again if event.kind == "node_reused"] == ["cache"]  # type: ignore[attr-defined]
    assert links == []


def test_what_one_device_began_no_other_finishes(tmp_path: Path) -> None:
    cache = disk_cache(str(tmp_path), pytest.fail)

    def lose_first(link: OneProcess, worker: str, task: str, finished: Finished) -> list[News]:
        if len(link.tasks) > 1:
            return at_once(link, worker, task, finished)
        return [Reported(worker, finished.reports), Lost(worker, "it burns")]

    outputs, events, [link] = run(STEPS, ["a"], cache=cache, tell=lose_first, device="M4")
    assert [task.state for task in link.tasks] == [None, None]
    assert values_of(events, "node_resumed") == []
    assert outputs["a"].steps == 4
    assert not list((tmp_path / SNAPSHOTS).glob("*"))
