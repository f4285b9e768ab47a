"""The battery guard: when it stops a run, and how it reads the level."""

from pathlib import Path

import pytest

from run_graph.runtime.cli.mflux.battery import BatteryGuard, level_from_pmset, level_from_sysfs
from run_graph.runtime.engine.context import CancelToken
from run_graph.runtime.errors import Cancelled
from run_graph.runtime.events import NodeStarted

ON_BATTERY = """Now drawing from 'Battery Power'
 -InternalBattery-0 (id=1234567)\t{level}%; discharging; 2:11 remaining present: true
"""


def guard(level: int | None) -> BatteryGuard:
    return BatteryGuard(10, CancelToken(), lambda: level)


@pytest.mark.parametrize(("level", "stops"), [(9, True), (10, True), (11, False), (None, False)])
def test_sampling_stops_at_or_below_the_limit(level: int | None, stops: bool) -> None:
    watching = guard(level)
    watching(NodeStarted("sample", "FluxSample"))
    assert (watching.reason is not None) == stops
    if stops:
        assert watching.reason == f"stopped: the battery is at {level} %, the limit is 10 %"
        with pytest.raises(Cancelled):
            watching.token.raise_if_cancelled()


def test_other_stages_do_not_ask_for_the_level() -> None:
    watching = guard(1)
    watching(NodeStarted("prompt", "TextEncode"))
    assert watching.reason is None


def test_a_mac_on_battery_reports_its_level() -> None:
    assert level_from_pmset(ON_BATTERY.format(level=47)) == 47


@pytest.mark.parametrize("report", ["", "Now drawing from 'AC Power'\n -InternalBattery-0\t80%", "?"])
def test_a_mac_that_is_plugged_in_or_has_no_battery_reports_none(report: str) -> None:
    assert level_from_pmset(report) is None


@pytest.mark.parametrize(("status", "level"), [("Discharging", 33), ("Charging", None)])
def test_linux_lists_the_battery_among_the_power_supplies(
    tmp_path: Path, status: str, level: int | None
) -> None:
    for name, kind in (("AC", "Mains"), ("BAT0", "Battery")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(f"{kind}\n")
    (tmp_path / "BAT0" / "status").write_text(f"{status}\n")
    (tmp_path / "BAT0" / "capacity").write_text("33\n")
    assert level_from_sysfs(tmp_path) == level


def test_a_machine_without_power_supplies_reports_none(tmp_path: Path) -> None:
    assert level_from_sysfs(tmp_path / "nowhere") is None
