"""The garbage collector during a run: patient with large ones, and as before afterwards."""

import gc
from collections.abc import Iterator

import pytest
from conformance.integer_nodes import REGISTRY, Sink
from engine import Engine, workflow

from run_graph.runtime.engine.gc_tuning import relaxed_gc

RULE = (700, 10, 10)


@pytest.fixture(autouse=True)
def usual_thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*RULE)
    yield
    gc.set_threshold(*before)


def test_it_waits_for_as_many_objects_as_a_large_run_makes() -> None:
    with relaxed_gc(20_000):
        youngest, *older = gc.get_threshold()
        assert youngest >= 200_000
        assert tuple(older) == RULE[1:]
    assert gc.get_threshold() == RULE


def test_nothing_changes_for_a_usual_workflow() -> None:
    with relaxed_gc(12):
        assert gc.get_threshold() == RULE


def test_a_collector_that_was_told_never_to_look_is_left_alone() -> None:
    gc.set_threshold(0)
    with relaxed_gc(20_000):
        assert gc.get_threshold()[0] == 0
    assert gc.get_threshold()[0] == 0


def test_of_runs_that_overlap_the_last_one_restores_the_rule() -> None:
    first, second = relaxed_gc(1_000), relaxed_gc(20_000)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] >= 200_000
    second.__exit__(None, None, None)
    assert gc.get_threshold() == RULE


def test_a_run_that_fails_restores_it_too() -> None:
    with pytest.raises(ZeroDivisionError), relaxed_gc(20_000):
        raise ZeroDivisionError
    assert gc.get_threshold() == RULE


def test_a_run_is_patient_and_leaves_the_rule_as_it_was() -> None:
    given = workflow(**{f"n{i}": (Sink, {"x": i}) for i in range(200)})
    seen: set[int] = set()
    Engine(REGISTRY).run(given, on_event=lambda event: seen.add(gc.get_threshold()[0]))
    assert seen == {200 * 30}
    assert gc.get_threshold() == RULE
