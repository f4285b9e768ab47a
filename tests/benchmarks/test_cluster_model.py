"""The simulated cluster does all steps once, and its figures are those of its machines."""

import pytest

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

from benchmarks.cluster import SIZES
from benchmarks.cluster_model import GB, Costs, Kind, Simulation

KINDS = {
    "encode": Kind("encode", 1, ("t5", "clip"), 2.0, 0, 0),
    "sample": Kind("sample", 2, ("transformer",), 24.0, 0, 0),
    "decode": Kind("decode", 3, ("vae",), 2.0, 0, 0),
}
FREE = Costs(0, 0, 0, 0)


@pytest.mark.parametrize("prompts", [1, 10, 40])
@pytest.mark.parametrize("memory", [28, 64])
@pytest.mark.parametrize("machines", [1, 2, 7])
def test_each_machine_reads_each_component_once(prompts: int, memory: int, machines: int) -> None:
    found = Simulation(machines, memory * GB, KINDS, SIZES, FREE).run(40, prompts)
    assert found.most_loads == 1
    assert found.loads["transformer"] <= machines


def test_one_machine_takes_as_long_as_its_work() -> None:
    found = Simulation(1, 64 * GB, KINDS, SIZES, FREE).run(40, 1)
    reading = sum(SIZES.values()) / FREE.disk
    assert found.seconds == pytest.approx(2 + 40 * 26 + reading, rel=0.02)
    assert found.efficiency == pytest.approx(1 - reading / found.seconds, rel=0.01)


def test_ten_machines_are_nearly_ten_times_as_fast() -> None:
    one, ten = (Simulation(count, 64 * GB, KINDS, SIZES, FREE).run(400, 1).seconds for count in (1, 10))
    assert 9 < one / ten < 10


def test_what_serves_one_after_another_is_the_limit() -> None:
    found = Simulation(10, 64 * GB, KINDS, SIZES, Costs(0, 0, 0, save=10)).run(40, 1)
    assert found.seconds >= 400
    assert found.saving == pytest.approx(1, abs=0.15)
