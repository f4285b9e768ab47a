"""The garbage collector during a run: delayed in large runs, and as before afterwards."""

import gc
from collections.abc import Iterator

import pytest
from conformance.integer_nodes import REGISTRY, Sink
from engine import Engine, workflow

from run_graph.runtime.engine.gc_tuning import relaxed_gc

USUAL = (700, 10, 10)


@pytest.fixture(autouse=True)
def usual_thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*USUAL)
    yield
    gc.set_threshold(*before)


def test_it_waits_for_the_objects_of_a_large_run() -> None:
    with relaxed_gc(20_000):
        youngest, *older = gc.get_threshold()
        assert youngest >= 200_000
        assert tuple(older) == USUAL[1:]
    assert gc.get_threshold() == USUAL


def test_nothing_changes_for_a_usual_workflow() -> None:
    with relaxed_gc(12):
        assert gc.get_threshold() == USUAL


def test_a_disabled_collector_stays_disabled() -> None:
    gc.set_threshold(0)
    with relaxed_gc(20_000):
        assert gc.get_threshold()[0] == 0
    assert gc.get_threshold()[0] == 0


def test_the_last_of_overlapping_runs_restores_the_thresholds() -> None:
    first, second = relaxed_gc(1_000), relaxed_gc(20_000)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] >= 200_000
    second.__exit__(None, None, None)
    assert gc.get_threshold() == USUAL


def test_a_run_that_fails_restores_them_too() -> None:
    with pytest.raises(ZeroDivisionError), relaxed_gc(20_000):
        raise ZeroDivisionError
    assert gc.get_threshold() == USUAL


def test_a_run_delays_the_collector_and_restores_the_thresholds() -> None:
    given = workflow(**{f"n{i}": (Sink, {"x": i}) for i in range(200)})
    seen: set[int] = set()
    Engine(REGISTRY).run(given, on_event=lambda event: seen.add(gc.get_threshold()[0]))
    assert seen == {200 * 30}
    assert gc.get_threshold() == USUAL
