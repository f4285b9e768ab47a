"""Sweeps that outlive a killed worker, scheduler or client, and a stall: every picture is there, once.

A few here; ``RUN_GRAPH_CLUSTER_TRIALS=30`` runs that many with 40 pictures, at random moments.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_trials import FAULTS, LIMIT, Machines, debris, machines, pixels, trials_wanted

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

TRIALS = trials_wanted()
PICTURES = 40 if TRIALS else 12
STEPS = 4
STALL = 30.0 if TRIALS else 3.0  # seconds


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, small_model: str) -> Iterator[Machines]:
    from small import make_project

    folder = tmp_path_factory.mktemp("machines")
    with machines(make_project(folder, small_model), folder, STEPS) as found:
        yield found


@pytest.fixture(scope="module")
def expected(running: Machines) -> dict[str, bytes]:
    """The pictures of a run in one process."""
    folder = running.folder / "one"
    assert running.sweep(PICTURES, folder).wait(LIMIT) == 0
    return pixels(folder)


def wait_for_pictures(folder: Path, count: int) -> None:
    end = time.monotonic() + LIMIT
    while len(list((folder / "output").glob("*.png"))) < count:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_sweep_outlives_whatever_happens(running: Machines, expected: dict[str, bytes]) -> None:
    folder, chance = running.folder / "many", random.Random(0)
    client = running.on_cluster(PICTURES, folder)
    for count, fault in ((2, "stall"), (4, "worker"), (6, "scheduler"), (8, "client")):
        wait_for_pictures(folder, count)
        running.strike(fault, chance, client, STALL)
    running.finish(client, PICTURES, folder)
    assert pixels(folder) == expected
    assert len(expected) == PICTURES
    assert debris(folder) == []


@pytest.mark.parametrize("trial", range(TRIALS))
def test_random_faults(running: Machines, expected: dict[str, bytes], trial: int) -> None:
    folder, chance = running.folder / f"trial-{trial}", random.Random(trial)
    fault = FAULTS[trial % len(FAULTS)]
    client = running.on_cluster(PICTURES, folder)
    wait_for_pictures(folder, chance.randrange(0, PICTURES * 3 // 4))
    time.sleep(chance.uniform(0, 0.5))
    running.strike(fault, chance, client, STALL)
    was_complete = len(pixels(folder)) == PICTURES  # then the same command is another run
    running.finish(client, PICTURES, folder)
    found = pixels(folder)
    if fault == "client" and was_complete:
        found = {name: found[name] for name in expected}
    assert found == expected
    assert debris(folder) == []
