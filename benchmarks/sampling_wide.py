"""Sampling against mflux at FLUX's own width and larger pictures: an hour and a half on a CPU."""

from __future__ import annotations

from benchmarks.report import Section
from benchmarks.sampling import SIDES, WIDTHS, compared


def measure(quick: bool) -> Section:
    """The sizes that `benchmarks.sampling` leaves out on a CPU."""
    return compared("Sampling, large", {WIDTHS[-1]: SIDES[:1] if quick else SIDES[1:]}, quick)
