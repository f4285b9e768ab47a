"""--memory-limit, --low-ram and --memory-report: what the command does with them, and what the table says."""

import re
from pathlib import Path

import pytest

from run_graph.runtime.cli.main import main
from run_graph.runtime.cli.memory_report import MemoryReport
from run_graph.runtime.events import (
    ModelEvicted,
    ModelLoaded,
    NodeFinished,
    NodeStarted,
    RunStarted,
    StageMemory,
)


def test_each_row_says_when_where_what_and_how_much() -> None:
    report = MemoryReport()
    for event in (
        RunStarted(2, ("sample",)),
        NodeStarted("prompt", "TextEncode"),
        ModelLoaded("dev", "text_encoder_2", None, 9_500_000_000, 9_500_000_000),
        StageMemory("prompt", 9_500_000_000, 9_600_000_000, 9_800_000_000),
        NodeFinished("prompt", "TextEncode", 1.0, {}),
        NodeStarted("sample", "FluxSample"),
        ModelEvicted("dev", "text_encoder_2", 9_500_000_000, 0),
        ModelLoaded("dev + ink", "transformer", 4, 6_700_000_000, 6_700_000_000),
        StageMemory("sample", 6_700_000_000, 6_700_000_000, 8_100_000_000),
    ):
        report(event)
    _, *rows, last = report.text().splitlines()
    assert [re.split(r"\s{2,}", row.strip())[1:] for row in rows] == [
        ["prompt (TextEncode)", "+ text_encoder_2 of dev", "9.5 GB", "9.5 GB"],
        ["prompt (TextEncode)", "= peak of the stage", "9.8 GB", "9.5 GB"],
        ["sample (FluxSample)", "- text_encoder_2 of dev", "9.5 GB", "0.0 MB"],
        ["sample (FluxSample)", "+ transformer of dev + ink, 4 bits", "6.7 GB", "6.7 GB"],
        ["sample (FluxSample)", "= peak of the stage", "8.1 GB", "6.7 GB"],
    ]
    assert last == "memory: peak 9.8 GB, most weights held 9.5 GB"
    assert len({len(row) for row in rows}) == 1, "the columns are aligned"


def test_a_run_without_models_gives_one_line() -> None:
    assert MemoryReport().text() == "memory: no models were used"


def test_the_command_reports_on_standard_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(project), "--low-ram", "--memory-report"]) == 0
    printed = capsys.readouterr()
    assert "memory" not in printed.out
    report = printed.err.splitlines()
    assert len([line for line in report if " + " in line]) == 6
    assert len([line for line in report if " - " in line]) == 6
    assert re.fullmatch(r"memory: peak \d+\.\d [MG]B, most weights held \d\.\d MB", report[-1])


def test_without_the_flag_nothing_is_reported(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(project)]) == 0
    assert "memory" not in capsys.readouterr().err


def test_a_limit_that_is_too_small_is_reported_with_the_numbers(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(project), "--memory-limit", "2MB"]) == 1
    message = capsys.readouterr().err
    assert "The memory limit of 2.0 MB is too small" in message
    assert re.search(r"the transformer of \S+ needs \d\.\d MB", message)


def test_a_limit_without_a_unit_is_bad_input(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(project), "--memory-limit", "8"])
    assert caught.value.code == 2
    assert "'8' is not an amount of memory; write one such as 8GB" in capsys.readouterr().err
