"""Sampling compared with mflux at FLUX's own width and larger pictures: an hour and a half on a CPU."""

from __future__ import annotations

from benchmarks.report import Section
from benchmarks.sampling import SIDES, WIDE_SIDES_ON_CPU, WIDTHS, compared


def measure(quick: bool) -> Section:
    """The sizes that `benchmarks.sampling` leaves out on a CPU."""
    left_out = [side for side in SIDES if side not in WIDE_SIDES_ON_CPU]
    return compared("Sampling, large", {WIDTHS[-1]: WIDE_SIDES_ON_CPU if quick else left_out}, quick)
