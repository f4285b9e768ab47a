"""Interrupted work: the state that was saved last is found, and only by the same computation."""

from pathlib import Path

import mlx.core as mx
import pytest
from cache_samples import disk, files
from engine import ENVIRONMENT, workflow

from run_graph.graph import Context, Node, Outputs, Registry
from run_graph.runtime.cache import NoCache, ResultCache
from run_graph.runtime.cache.blob_store import SNAPSHOTS
from run_graph.runtime.cache.snapshots import DiskSnapshot
from run_graph.runtime.engine.context import CancelToken
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import Cancelled
from run_graph.runtime.events import Event, NodeInterrupted, NodeProgress, NodeResumed


@pytest.fixture(autouse=True)
def _save_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("run_graph.runtime.cache.snapshots._SHARE", 1e9)


class Total(Outputs):
    total: int


class Walk(Node):
    """Adds up 1..n, one a step."""

    is_output = True
    n: int

    def run(self, ctx: Context) -> Total:
        state = ctx.resume_state() or {"done": 0, "total": mx.array(0)}
        total = state["total"]
        for step in range(state["done"] + 1, self.n + 1):
            total = total + step
            ctx.save_state(done=step, total=total)
            ctx.progress(step, self.n)
        return Total(total=int(total))


def run(cache: ResultCache, n: int = 10, stop_after: int | None = None) -> tuple[int, list[int]]:
    """The total, and the steps that were taken."""
    steps: list[int] = []
    token = CancelToken()

    def listen(event: Event) -> None:
        if isinstance(event, NodeProgress):
            steps.append(event.value)
            if event.value == stop_after:
                token.cancel()

    session = Session(Registry([Walk]), cache)
    given = workflow(w=(Walk, {"n": n}))
    result = session.run(given, environment=ENVIRONMENT, on_event=listen, token=token)
    return result.outputs("w").total, steps  # type: ignore[attr-defined]


def test_the_next_run_resumes_after_the_last_step(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        run(disk(tmp_path)[0], stop_after=4)
    assert len(files(tmp_path / SNAPSHOTS)) == 1
    total, steps = run(disk(tmp_path)[0])
    assert (total, steps) == (55, [5, 6, 7, 8, 9, 10])
    assert files(tmp_path / SNAPSHOTS) == []


def told(cache: ResultCache, stop_after: int) -> list[Event]:
    """What an interrupted run reports besides its steps."""
    events: list[Event] = []
    token = CancelToken()

    def listen(event: Event) -> None:
        if isinstance(event, NodeResumed | NodeInterrupted):
            events.append(event)
        elif isinstance(event, NodeProgress) and event.value == stop_after:
            token.cancel()

    with pytest.raises(Cancelled):
        Session(Registry([Walk]), cache).run(
            workflow(w=(Walk, {"n": 10})), environment=ENVIRONMENT, on_event=listen, token=token
        )
    return events


def test_each_end_says_where_the_next_run_goes_on_and_that_says_it_too(tmp_path: Path) -> None:
    assert told(disk(tmp_path)[0], 4) == [NodeInterrupted("w", 4, 10)]
    assert told(disk(tmp_path)[0], 7) == [NodeResumed("w", 5, 10), NodeInterrupted("w", 7, 10)]


def test_steps_that_are_not_kept_are_not_promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(NoCache(), 4) == [NodeInterrupted("w", 0, 0)]
    monkeypatch.setattr(DiskSnapshot, "save", lambda self, items, *, now=False: False)
    assert told(disk(tmp_path)[0], 4) == [NodeInterrupted("w", 0, 0)]


def test_an_interruption_keeps_the_newest_step_also_where_steps_are_too_quick_to_save_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("run_graph.runtime.cache.snapshots._SHARE", 1e-9)  # only the first is saved
    assert told(disk(tmp_path)[0], 4) == [NodeInterrupted("w", 4, 10)]
    assert told(disk(tmp_path)[0], 7) == [NodeResumed("w", 5, 10), NodeInterrupted("w", 7, 10)]
    assert run(disk(tmp_path)[0]) == (55, [8, 9, 10])


def test_it_may_be_interrupted_again_and_again(tmp_path: Path) -> None:
    for step in (1, 2, 7):
        with pytest.raises(Cancelled):
            run(disk(tmp_path)[0], stop_after=step)
    assert run(disk(tmp_path)[0]) == (55, [8, 9, 10])


def test_another_computation_does_not_resume_from_it(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        run(disk(tmp_path)[0], n=10, stop_after=4)
    assert run(disk(tmp_path)[0], n=5) == (15, [1, 2, 3, 4, 5])
    assert run(disk(tmp_path)[0])[1][0] == 5


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign"])
def test_a_damaged_state_is_reported_and_the_work_starts_again(tmp_path: Path, damage: str) -> None:
    with pytest.raises(Cancelled):
        run(disk(tmp_path)[0], stop_after=4)
    [path] = files(tmp_path / SNAPSHOTS)
    data = path.read_bytes()
    middle = len(data) // 2
    changed = {
        "cut": data[:-1],
        "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "foreign": b"something else",
    }
    path.write_bytes(changed[damage])
    cache, warnings = disk(tmp_path)
    assert run(cache) == (55, list(range(1, 11)))
    assert len(warnings) == 1
    assert path.name in warnings[0]


def test_saving_too_soon_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("run_graph.runtime.cache.snapshots._SHARE", 1e-9)
    snapshot = disk(tmp_path)[0].snapshot("work")
    snapshot.save({"step": 1, "latents": mx.zeros(3)})
    snapshot.save({"step": 2, "latents": mx.zeros(3)})
    saved = disk(tmp_path)[0].snapshot("work").load()
    assert saved is not None
    assert saved["step"] == 1


def test_seconds_of_earlier_runs_are_carried_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("run_graph.runtime.cache.snapshots.time.perf_counter", lambda: now[0])
    snapshot = disk(tmp_path)[0].snapshot("work")
    now[0] = 130.0
    snapshot.save({"step": 1})
    again = disk(tmp_path)[0].snapshot("work")
    again.load()
    assert again.carried == 30
    now[0] = 135.0
    again.save({"step": 2})
    third = disk(tmp_path)[0].snapshot("work")
    third.load()
    assert third.carried == 35


def test_a_folder_that_cannot_be_written_does_not_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache, warnings = disk(tmp_path / "file" / "cache")
    assert run(cache)[0] == 55
    assert len(warnings) == 1
