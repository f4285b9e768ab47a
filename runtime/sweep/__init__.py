"""Sweeps: one workflow with every combination of some inputs' values (``run-graph --sweep``)."""
