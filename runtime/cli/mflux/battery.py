"""Stops a run before the battery is empty, as mflux's BatterySaver does."""

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
    """A listener that stops the run before it samples another picture if the battery is low.

    Parameters
    ----------
    limit : int
        Percentage at or below which to stop.
    token : CancelToken
        The token of the run.
    level : callable
        Returns the percentage left; None if the machine has no battery or is plugged in.

    Attributes
    ----------
    reason : str or None
        Why the run was stopped; None unless this listener stopped it.
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
    """Percentage left in the battery; None if the machine has no battery or is plugged in."""
    if sys.platform == "darwin":
        return level_from_pmset(_pmset())
    return level_from_sysfs(_POWER_SUPPLIES)


def level_from_pmset(report: str) -> int | None:
    """The level from the output of ``pmset -g batt`` on a Mac."""
    found = re.search(r"InternalBattery.*?(\d+)%", report)
    return None if found is None or "'AC Power'" in report else int(found[1])


def level_from_sysfs(folder: Path) -> int | None:
    """The level of the first discharging battery that Linux lists in `folder`."""
    for supply in sorted(folder.glob("*")):
        try:
            kind, status = ((supply / name).read_text().strip() for name in ("type", "status"))
            if (kind, status) == ("Battery", "Discharging"):
                return int((supply / "capacity").read_text())
        except (OSError, ValueError):  # a supply without these files
            continue
    return None


def _pmset() -> str:
    try:
        return subprocess.run(["pmset", "-g", "batt"], capture_output=True, text=True, timeout=5).stdout
    except (OSError, subprocess.SubprocessError):
        return ""  # no report: treated as no battery
