"""``--verbose``: everything that the packages log, on standard error."""

from __future__ import annotations

import logging

_LOGGED = ("run_graph", "mflux")


def log_details() -> None:
    """Print what run-graph and mflux log, down to the details."""
    logging.basicConfig()
    for package in _LOGGED:  # not all packages: Pillow, for one, logs each chunk of each file
        logging.getLogger(package).setLevel(logging.DEBUG)
