"""Checkpoints in FLUX.1's and Redux's file layout at any width: sizes, names, configurations, tokenizers.

`make.make_checkpoint` writes one with random weights, used by most tests; `training.export` writes one with
the trained weights of `tiny`.
"""
