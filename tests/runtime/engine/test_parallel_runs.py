"""Several runs of one session at once: each run's events go to its own listener."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import pytest
from engine import ENVIRONMENT, workflow
from sample_nodes import Kept

from run_graph.graph import Context, Node, Registry
from run_graph.runtime.cache import NoCache
from run_graph.runtime.current_run import current_run, emit
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import NodeFailed
from run_graph.runtime.events import Event, NodeFinished, RunFinished

RUNS = 4


@dataclass(slots=True)
class Told(Event):
    """What a service reports: whom it served, as the node's literal."""

    kind: ClassVar[str] = "told"
    served: int


@dataclass(slots=True)
class Ended(Event):
    """What a service reports in an observed event's turn."""

    kind: ClassVar[str] = "ended"
    node_id: str


class Talker:
    """A service that reports when it is called, and when a node ends."""

    made = 0

    def __init__(self) -> None:
        Talker.made += 1
        self.all_are_here = threading.Barrier(RUNS)

    def serve(self, number: int) -> None:
        self.all_are_here.wait(timeout=20)  # so that every run has begun, and none has ended
        emit(Told(number))
        self.all_are_here.wait(timeout=20)

    def observe(self, event: Event) -> None:
        if isinstance(event, NodeFinished):
            emit(Ended(event.node_id))


class Ask(Node):
    """Calls the service."""

    number: int

    def run(self, ctx: Context) -> Kept:
        ctx.service(Talker).serve(self.number)
        if self.number < 0:
            raise ValueError("a negative number")
        return Kept(value=self.number)


class AskBeside(Ask):
    """Calls the service from the second thread, if there is other work."""

    runs_in_background = True


class Other(Node):
    """Work beside the second thread."""

    def run(self, ctx: Context) -> Kept:
        return Kept(value=0)


NODES = Registry([Ask, AskBeside, Other])


def run(session: Session, kind: type[Node], number: int) -> list[Event]:
    events: list[Event] = []
    given = workflow(ask=(kind, {"number": number}), other=(Other, {}))
    try:
        session.run(given, targets=["ask", "other"], environment=ENVIRONMENT, on_event=events.append)
    except NodeFailed:
        assert number < 0
    return events


def on_threads(work: Callable[[int], list[Event]], numbers: list[int]) -> list[list[Event]]:
    with ThreadPoolExecutor(len(numbers)) as pool:
        return list(pool.map(work, numbers))


def with_asyncio(work: Callable[[int], list[Event]], numbers: list[int]) -> list[list[Event]]:
    async def all_of_them() -> list[list[Event]]:
        return list(await asyncio.gather(*(asyncio.to_thread(work, number) for number in numbers)))

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("kind", [Ask, AskBeside])
@pytest.mark.parametrize("at_once", [on_threads, with_asyncio])
def test_what_a_service_reports_goes_to_the_run_that_called_it(
    kind: type[Node], at_once: Callable[[Callable[[int], list[Event]], list[int]], list[list[Event]]]
) -> None:
    session, numbers = Session(NODES, NoCache()), [7, 8, -9, 10]
    found = at_once(lambda number: run(session, kind, number), numbers)
    for number, events in zip(numbers, found, strict=True):
        assert [event.served for event in events if isinstance(event, Told)] == [number]
        ended = sorted(event.node_id for event in events if isinstance(event, Ended))
        assert ended in (["ask", "other"], ["ask"], ["other"], [])
        assert ("ask" in ended) == (number > 0)
        [finished] = [event for event in events if isinstance(event, RunFinished)]
        assert finished is events[-1]
        assert finished.status == ("done" if number > 0 else "failed")
    assert current_run() is None


def test_runs_that_ask_at_once_share_one_service() -> None:
    Talker.made = 0
    session = Session(NODES, NoCache())
    on_threads(lambda number: run(session, Ask, number), [1, 2, 3, 4])
    assert Talker.made == 1


def test_a_run_within_a_run_is_told_of_its_own() -> None:
    inner_events: list[Event] = []

    class RunsAnother(Node):
        def run(self, ctx: Context) -> Kept:
            talker.all_are_here = threading.Barrier(1)
            session.run(workflow(ask=(Ask, {"number": 1})), targets=["ask"], on_event=inner_events.append)
            talker.serve(2)
            return Kept(value=0)

    talker, events = Talker(), list[Event]()
    session = Session(Registry([Ask, RunsAnother]), NoCache(), Services(talker))
    session.run(workflow(outer=(RunsAnother, {})), targets=["outer"], on_event=events.append)
    assert [event.served for event in inner_events if isinstance(event, Told)] == [1]
    assert [event.served for event in events if isinstance(event, Told)] == [2]
    assert isinstance(inner_events[-1], RunFinished)


def test_outside_a_run_a_service_reports_to_nobody() -> None:
    talker = Talker()
    talker.all_are_here = threading.Barrier(1)
    talker.serve(1)
