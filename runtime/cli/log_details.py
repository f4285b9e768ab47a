"""``--verbose``: everything that the packages log, on standard error."""

from __future__ import annotations

import logging

from run_graph.runtime.cli.terminal import print_lines, visible

_LOGGED = ("run_graph", "mflux")


def log_details() -> None:
    """Print what run-graph and mflux log, down to the details."""
    logging.basicConfig(handlers=[_OnStandardError()])
    for package in _LOGGED:  # not all packages: Pillow, for one, logs each chunk of each file
        logging.getLogger(package).setLevel(logging.DEBUG)


class _OnStandardError(logging.Handler):
    """Prints records wherever standard error leads now: during a run on a terminal, above the bars."""

    def emit(self, record: logging.LogRecord) -> None:
        print_lines(visible(self.format(record)))
