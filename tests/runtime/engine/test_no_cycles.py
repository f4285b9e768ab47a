"""Nothing of a session waits for the cycle collector: what is no longer needed is freed at once.

The collector may not come by for minutes, and until then pictures and weights would stay in memory.
"""

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from engine import ENVIRONMENT, workflow
from sample_nodes import Kept

from run_graph.graph import Context, Field, Lazy, Node, Outputs, Registry, SocketValue, WorkflowError
from run_graph.runtime.cache import MemoryCache, NoCache, ResultCache
from run_graph.runtime.current_run import current_run
from run_graph.runtime.engine.context import CancelToken
from run_graph.runtime.engine.job import Job
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import Cancelled, NodeFailed
from run_graph.runtime.events import Event, NodeStarted


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    Blob.alive.clear()
    Watcher.alive.clear()
    gc.disable()
    yield
    gc.enable()


class Blob(SocketValue):
    """A value whose instances are counted."""

    socket_type = "BLOB"
    alive: ClassVar["weakref.WeakSet[Blob]"] = weakref.WeakSet()

    def __init__(self) -> None:
        Blob.alive.add(self)


class Watcher:
    """A service that follows runs, as the model store does."""

    alive: ClassVar["weakref.WeakSet[Watcher]"] = weakref.WeakSet()

    def __init__(self) -> None:
        Watcher.alive.add(self)
        self.seen = 0

    def observe(self, event: Event) -> None:
        run = current_run()
        assert run is not None
        self.seen += len(list(run.pending_values()))

    def has_room_for(self, values: Any) -> bool:
        return True


class Made(Outputs):
    blob: Blob


class Make(Node):
    seed: int = 0

    def run(self, ctx: Context) -> Made:
        ctx.service(Watcher)
        ctx.progress(1, 2, preview=[1, 2])
        return Made(blob=Blob())


class Next(Node):
    """A blob from a blob, or one of the ways to end early."""

    blob: Blob
    spare: Lazy[Blob | None] = None
    end: str = ""

    def required_lazy_inputs(self) -> list[str]:
        return ["spare"] if self.end == "lazy" else []

    def run(self, ctx: Context) -> Made:
        if self.end == "warning":
            ctx.warn("something")
        if self.end == "error":
            raise ValueError("no")
        if self.end == "exit":
            raise SystemExit(3)
        if self.end == "interrupt":
            raise KeyboardInterrupt
        if self.end == "wrong":
            return Kept(value=1)  # type: ignore[return-value]
        return Made(blob=Blob())


class Beside(Next):
    runs_in_background = True


class Pick(Node):
    """A number out of range, for a reader that checks it."""

    def run(self, ctx: Context) -> Kept:
        return Kept(value=100)


class Limited(Node):
    blob: Blob
    value: Any = Field(default=0, ge=0, le=1)

    def run(self, ctx: Context) -> Made:
        return Made(blob=Blob())


NODES = Registry([Make, Next, Beside, Pick, Limited])


def graph(kind: type[Node] = Next, **inputs: Any) -> Any:
    return workflow(
        a=(Make, {}),
        b=(kind, {"blob": "@a", **inputs}),
        c=(Next, {"blob": "@b"}),
        beside=(Make, {"seed": 1}),
        pick=(Pick, {}),
    )


def run(session: Session, given: Any, **options: Any) -> None:
    session.run(given, targets=["c", "beside"], environment=ENVIRONMENT, **options)


def ends(session: Session, error: type[BaseException], given: Any, **options: Any) -> None:
    """Run, and drop the error with all that its traceback leads to."""
    try:
        run(session, given, **options)
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


def done(session: Session) -> None:
    run(session, graph())


def done_with_a_lazy_input(session: Session) -> None:
    run(session, graph(spare="@beside", end="lazy"))


def done_beside(session: Session) -> None:
    run(session, graph(Beside))


def done_together(session: Session) -> None:
    jobs = [Job(graph(), ENVIRONMENT, ["c"], name=name) for name in ("one", "two")]
    session.run_together(jobs).as_run()


def seen_by_a_listener(session: Session) -> None:
    seen: list[Event] = []
    run(session, graph(), on_event=seen.append)
    assert seen


def failed(session: Session) -> None:
    ends(session, NodeFailed, graph(end="error"))


def failed_beside(session: Session) -> None:
    ends(session, NodeFailed, graph(Beside, end="error"))


def exited(session: Session) -> None:
    ends(session, NodeFailed, graph(end="exit"))


def returned_nonsense(session: Session) -> None:
    ends(session, NodeFailed, graph(end="wrong"))


def out_of_range(session: Session) -> None:
    ends(session, NodeFailed, graph(Limited, value="@pick.value"))


def interrupted(session: Session) -> None:
    ends(session, KeyboardInterrupt, graph(end="interrupt"))


def cancelled(session: Session) -> None:
    token = CancelToken()

    def cancel(event: Event) -> None:
        if isinstance(event, NodeStarted):
            token.cancel()

    ends(session, Cancelled, graph(), on_event=cancel, token=token)


def refused(session: Session) -> None:
    ends(session, WorkflowError, graph(no_such_input=1))


def a_listener_failed(session: Session) -> None:
    def fail(event: Event) -> None:
        if isinstance(event, NodeStarted) and event.node_id == "c":
            raise BrokenPipeError

    ends(session, BrokenPipeError, graph(), on_event=fail)


ENDS: list[Callable[[Session], None]] = [
    done,
    done_with_a_lazy_input,
    done_beside,
    done_together,
    seen_by_a_listener,
    failed,
    failed_beside,
    exited,
    returned_nonsense,
    out_of_range,
    interrupted,
    cancelled,
    refused,
    a_listener_failed,
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("cache", [NoCache, MemoryCache])
def test_a_session_is_freed_with_all_that_it_held(
    end: Callable[[Session], None], cache: Callable[[], ResultCache]
) -> None:
    session = Session(NODES, cache())
    for _ in range(2):
        end(session)
    died = weakref.ref(session)
    kept = weakref.ref(session.cache)
    del session
    assert died() is None
    assert kept() is None
    assert len(Watcher.alive) == 0
    assert len(Blob.alive) == 0


@pytest.mark.parametrize("end", ENDS)
def test_a_run_leaves_no_value_behind_where_nothing_is_kept(end: Callable[[Session], None]) -> None:
    session = Session(NODES, NoCache())
    end(session)
    assert len(Blob.alive) == 0


def test_a_warning_that_fails_a_node_leaves_nothing_behind() -> None:
    session = Session(NODES, NoCache(), strict=True)
    ends(session, NodeFailed, graph(end="warning"))
    assert len(Blob.alive) == 0


def test_services_that_are_given_outlive_the_session() -> None:
    watcher = Watcher()
    session = Session(NODES, NoCache(), Services(watcher))
    done(session)
    del session
    assert watcher.seen > 0
    assert list(Watcher.alive) == [watcher]
    del watcher
    assert len(Watcher.alive) == 0
