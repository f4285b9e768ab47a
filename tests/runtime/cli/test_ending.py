"""What an interrupted command says: how far it was, and how to go on."""

import pytest

from run_graph.runtime.cli.ending import Ending
from run_graph.runtime.events import Event, NodeFinished, NodeInterrupted, NodeReused, RunStarted

ONE, MANY = RunStarted(2, ("save",)), RunStarted(5, ("a", "b", "c"))
DONE = NodeFinished("text", "TextEncode", 1.0, {})


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], "interrupted; run it again to start over: no stage was finished"),
        ([ONE, NodeInterrupted("x", 0, 0)], "interrupted; run it again to start over: no stage was finished"),
        ([ONE, DONE], "interrupted; run it again to go on: the finished stages are kept"),
        (
            [ONE, DONE, NodeInterrupted("sample", 59, 100)],
            "interrupted; run it again to go on from step 59 of 100",
        ),
        (
            [
                MANY,
                NodeReused("a", "SaveImage", "cache", {}),
                NodeFinished("b", "SaveImage", 1, {}),
                NodeInterrupted("sample", 3, 8),
            ],
            "interrupted after 2 of 3; run it again to go on from step 3 of 8",
        ),
    ],
)
def test_it_says_how_to_go_on(events: list[Event], expected: str) -> None:
    ending = Ending(keeps_results=True)
    for event in events:
        ending(event)
    assert ending.text("interrupted") == expected


def test_without_a_cache_it_says_so() -> None:
    ending = Ending(keeps_results=False)
    for event in (ONE, DONE, NodeInterrupted("sample", 0, 0)):
        ending(event)
    assert ending.text("interrupted by SIGTERM") == (
        "interrupted by SIGTERM; run it again to start over: --no-cache keeps nothing"
    )
