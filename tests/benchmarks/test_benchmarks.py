"""The benchmarks' own code: a wrong table is worse than no table."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mflux.models.common.config.model_config import ModelConfig

from benchmarks import engine, sampling
from benchmarks.engines import RunGraph, Shape, graphlib_loop
from benchmarks.report import Section, Table, write_section
from benchmarks.timing import Timing, alternate


def test_a_section_is_replaced_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    for name, text in (("second", "## B"), ("first", "## A"), ("second", "## C")):
        write_section(name, text, ["first", "second"], path)
    assert path.read_text(encoding="utf-8").endswith("<!-- first -->\n## A\n\n<!-- second -->\n## C\n")


def test_a_section_says_how_it_was_measured() -> None:
    section = Section("Speed", "Seconds.", [Table(["what", "s"], [["ours", "1"]])], ["pydantic", "no-such"])
    text = section.markdown("the command", load="0.1")
    assert "| what | s |\n| --- | ---: |\n| ours | 1 |" in text
    assert "`the command`" in text
    assert "no-such absent" in text


def test_contenders_take_turns_and_the_warm_up_does_not_count() -> None:
    calls: list[str] = []
    timings = alternate({name: lambda name=name: calls.append(name) for name in "ab"}, rounds=2, warm_up=1)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert [len(timing.seconds) for timing in timings.values()] == [2, 2]


def test_a_ratio_is_taken_round_by_round() -> None:
    one, other = Timing((2.0, 40.0, 3.0)), Timing((1.0, 20.0, 3.0))
    assert one.ratio(other) == 2
    assert one.shown(digits=0) == "3 (2–40)"


@pytest.mark.parametrize("shape_of", engine.SHAPES.values(), ids=engine.SHAPES)
def test_the_engines_do_the_same_work(shape_of: Callable[[int], Shape]) -> None:
    shape = shape_of(30)
    assert len(shape.parents) == 30
    assert all(parent < i for i, parents in enumerate(shape.parents) for parent in parents)
    ours = RunGraph(shape)
    expected = graphlib_loop(shape)()
    for result in (ours.fresh(), ours.rerun()):
        assert [outputs.value for outputs in result.by_node.values()] == expected


def test_small_graphs_are_run_several_times_per_timing_and_cost_is_per_node() -> None:
    calls: list[int] = []
    engine._several(lambda: calls.append(1), engine._runs(100))()
    assert len(calls) == 10
    assert engine._runs(20_000) == 1
    assert engine._cell(Timing((0.02,)), 100) == "20.0 (20.0–20.0)"
    assert engine._cell(Timing((0.4,)), 20_000) == "20.0 (20.0–20.0)"


def test_an_interrupted_sampling_benchmark_reports_what_it_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rows(count: int) -> Iterator[tuple[list[str], float]]:
        yield from [(["256"] * 8, 0.5)] * count
        raise KeyboardInterrupt

    monkeypatch.setattr(ModelConfig, "precision", ModelConfig.precision)  # restored afterwards
    monkeypatch.setattr(sampling, "_rows", lambda sizes, quick: rows(2))
    section = sampling.compared("Sampling", {256: (256,)}, quick=True)
    assert len(section.tables[0].rows) == 2
    assert "2 of 2 cases" in section.notes[0]
    assert section.notes[1].startswith("Interrupted")
    monkeypatch.setattr(sampling, "_rows", lambda sizes, quick: rows(0))
    with pytest.raises(KeyboardInterrupt):
        sampling.compared("Sampling", {256: (256,)}, quick=True)
