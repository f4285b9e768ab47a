"""Stopping before the battery is empty, as mflux's BatterySaver does."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from run_graph.runtime.engine.context import CancelToken
from run_graph.runtime.events import Event, NodeStarted

_POWER_SUPPLIES = Path("/sys/class/power_supply")


class BatteryGuard:
    """A listener that stops the run before it samples another picture with too little left in the battery.

    Parameters
    ----------
    limit : int
        Percentage at or below which to stop.
    token : CancelToken
        The run's.
    level : callable
        The battery's percentage; None where the machine has none or is plugged in.

    Attributes
    ----------
    reason : str or None
        Why the run was stopped, if this stopped it.
    """

    def __init__(self, limit: int, token: CancelToken, level: Callable[[], int | None] | None = None) -> None:
        self.limit = limit
        self.token = token
        self.level = level or battery_level
        self.reason: str | None = None

    def __call__(self, event: Event) -> None:
        if not (isinstance(event, NodeStarted) and event.class_type == "FluxSample"):
            return
        level = self.level()
        if level is not None and level <= self.limit:
            self.reason = f"stopped: the battery is at {level} %, the limit is {self.limit} %"
            self.token.cancel()


def battery_level() -> int | None:
    """Percentage left in the battery that the machine runs on; None without one, or when plugged in."""
    if sys.platform == "darwin":
        return level_from_pmset(_pmset())
    return level_from_sysfs(_POWER_SUPPLIES)


def level_from_pmset(report: str) -> int | None:
    """The level in what ``pmset -g batt`` reports on a Mac."""
    found = re.search(r"InternalBattery.*?(\d+)%", report)
    return None if found is None or "'AC Power'" in report else int(found[1])


def level_from_sysfs(folder: Path) -> int | None:
    """The level of the first discharging battery that Linux lists in `folder`."""
    for supply in sorted(folder.glob("*")):
        try:
            kind, status = ((supply / name).read_text().strip() for name in ("type", "status"))
            if (kind, status) == ("Battery", "Discharging"):
                return int((supply / "capacity").read_text())
        except (OSError, ValueError):  # a supply that reports less than that
            continue
    return None


def _pmset() -> str:
    try:
        return subprocess.run(["pmset", "-g", "batt"], capture_output=True, text=True, timeout=5).stdout
    except (OSError, subprocess.SubprocessError):
        return ""  # without a report there is nothing to guard
