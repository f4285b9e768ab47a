"""Measurements of run-graph's speed, and comparisons with other programs.

::

    uv run --group benchmarks python -m benchmarks                  # everything; updates RESULTS.md
    uv run --group benchmarks python -m benchmarks engine           # one section of it
    uv run --group benchmarks python -m benchmarks engine --quick   # smaller; prints, writes nothing

The alternatives are measured in turn in one process, so that a slowdown of the machine affects all of them.
Look at the ratios: they carry over to other machines, the seconds do not.

A benchmark is a module here with ``measure(quick: bool) -> Section``, listed in ``benchmarks.__main__``.
:mod:`benchmarks.timing` times alternatives; :mod:`benchmarks.report` formats tables and updates RESULTS.md.
Nothing here goes into the wheel.
"""
