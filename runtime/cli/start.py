"""Where the shell starts the two commands.

The first thing that happens is that signals get their handlers. Everything else, even the parser, is imported
after that, so that Ctrl-C in the first moments ends in one line as it does later. Nothing else imports this
module: it takes hold of the process.
"""

from __future__ import annotations

try:
    from run_graph.runtime.cli.signals import SIGNALS

    SIGNALS.own_process()
except KeyboardInterrupt:  # within these two lines
    import os  # which Python has imported already

    os.write(2, b"run-graph: interrupted\n")
    os._exit(130)


def run_graph() -> int:
    """The ``run-graph`` command; returns its exit code."""
    from run_graph.runtime.cli.main import main

    return main()


def mflux_generate_redux_advanced() -> int:
    """The ``mflux-generate-redux-advanced`` command; returns its exit code."""
    SIGNALS.program = "mflux-generate-redux-advanced"
    from run_graph.runtime.cli.mflux.main import main

    return main()
