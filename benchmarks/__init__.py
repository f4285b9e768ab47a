"""Measurements: how fast run-graph is, side by side with what it can be compared with.

::

    uv run --group benchmarks python -m benchmarks                  # everything; writes RESULTS.md anew
    uv run --group benchmarks python -m benchmarks engine           # one section of it
    uv run --group benchmarks python -m benchmarks engine --quick   # smaller; prints, writes nothing

What is compared is measured alternating, in one process, so that a machine that slows down slows all of it.
Read the ratios: they carry over to other machines, the seconds do not.

A benchmark is a module here with ``measure(quick: bool) -> Section``, named in ``benchmarks.__main__``.
:mod:`benchmarks.timing` times alternatives, :mod:`benchmarks.report` makes tables and keeps RESULTS.md.
Nothing here goes into the wheel.
"""
