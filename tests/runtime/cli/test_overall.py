"""The line about a whole run: how many pictures there are, and how long the others take."""

import pytest

from run_graph.runtime.cli.overall import Overall
from run_graph.runtime.cli.stages import Stage
from run_graph.runtime.events import (
    NodeFinished,
    NodeProgress,
    NodeResumed,
    NodeReused,
    NodeStarted,
    RunStarted,
)


class Run:
    """A run of some pictures, each sampled and decoded, on a clock of its own."""

    def __init__(self, pictures: int) -> None:
        self.now = 0.0
        stages = {"text": Stage("TextEncode")}
        for n in range(pictures):
            stages[f"sample{n}"] = Stage("FluxSample", None, ("text",))
            stages[f"save{n}"] = Stage("SaveImage", None, (f"sample{n}",))
        self.overall = Overall(stages, lambda: self.now)
        self.overall(RunStarted(len(stages), tuple(f"save{n}" for n in range(pictures))))

    def sample(self, n: int, seconds: float, *, skipped: int = 0, until: int = 10) -> None:
        """Sample picture ``n`` in steps, of ten, that an earlier run has not done yet."""
        self.overall(NodeStarted(f"sample{n}", "FluxSample"))
        if skipped:
            self.overall(NodeResumed(f"sample{n}", skipped, 10))
        for step in range(skipped, until + 1):
            self.now += seconds / 10 if step > skipped else 0
            self.overall(NodeProgress(f"sample{n}", step, 10))
        if until == 10:
            self.overall(NodeFinished(f"sample{n}", "FluxSample", seconds * (10 - skipped) / 10, {}))

    def save(self, n: int, seconds: float) -> None:
        self.overall(NodeStarted(f"save{n}", "SaveImage"))
        self.now += seconds
        self.overall(NodeFinished(f"save{n}", "SaveImage", seconds, {}))


def test_a_run_with_one_picture_has_no_line() -> None:
    run = Run(1)
    run.sample(0, 10)
    assert run.overall.text() == ""


def test_before_anything_is_known_there_is_only_the_number() -> None:
    run = Run(4)
    assert run.overall.text() == "0 of 4"
    run.overall(NodeFinished("text", "TextEncode", 1.0, {}))
    assert run.overall.text() == "0 of 4"


def test_finished_pictures_tell_how_long_the_others_take() -> None:
    run = Run(12)
    for n in range(3):
        run.sample(n, 4)
        run.save(n, 0.5)
    assert run.overall.text() == "3 of 12, about 40 s left"


def test_the_first_steps_of_the_first_picture_are_enough() -> None:
    run = Run(4)
    run.sample(0, 20, until=5)
    assert run.overall.text() == "0 of 4, about 70 s left"


def test_the_picture_under_way_counts_for_what_is_left_of_it() -> None:
    run = Run(3)
    run.sample(0, 20)
    run.save(0, 0)
    run.sample(1, 20, until=5)
    assert run.overall.text() == "1 of 3, about 30 s left"


def test_a_picture_that_was_resumed_is_not_taken_for_a_quick_one() -> None:
    run = Run(3)
    run.sample(0, 20, skipped=9)
    run.save(0, 0)
    assert run.overall.text() == "1 of 3, about 40 s left"


def test_what_an_earlier_run_has_made_takes_no_time() -> None:
    run = Run(4)
    for n in (2, 3):
        run.overall(NodeReused(f"save{n}", "SaveImage", "cache", {}))
    run.sample(0, 20)
    run.save(0, 0)
    assert run.overall.text() == "3 of 4, about 20 s left"


def test_all_samplings_may_come_first() -> None:
    run = Run(3)
    run.sample(0, 20)
    run.sample(1, 20)
    assert run.overall.text() == "0 of 3, about 20 s left"


def test_at_the_end_nothing_is_left() -> None:
    run = Run(2)
    for n in range(2):
        run.sample(n, 1)
        run.save(n, 1)
    assert run.overall.text() == "2 of 2"


def test_a_wrong_estimate_is_corrected_and_never_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(2)
    run.sample(0, 10)
    run.save(0, 0)
    run.overall(NodeStarted("sample1", "FluxSample"))
    run.now += 60
    assert run.overall.text() == "1 of 2, about 1 s left"
