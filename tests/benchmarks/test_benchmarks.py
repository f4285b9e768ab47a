"""The benchmarks' own machinery: a table that is wrong is worse than none."""

from pathlib import Path

import pytest

from benchmarks.engines import RunGraph, Shape, chain, fan, graphlib_loop
from benchmarks.report import Section, Table, write_section
from benchmarks.timing import Timing, alternate


def test_a_section_is_replaced_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    for name, text in (("second", "## B"), ("first", "## A"), ("second", "## C")):
        write_section(name, text, ["first", "second"], path)
    assert path.read_text(encoding="utf-8").endswith("<!-- first -->\n## A\n\n<!-- second -->\n## C\n")


def test_a_section_tells_how_it_was_measured() -> None:
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


@pytest.mark.parametrize("shape", [chain(30), fan(30)])
def test_the_engines_do_the_same_work(shape: Shape) -> None:
    ours = RunGraph(shape)
    expected = graphlib_loop(shape)()
    for result in (ours.fresh(), ours.rerun()):
        assert [outputs.value for outputs in result.by_node.values()] == expected
