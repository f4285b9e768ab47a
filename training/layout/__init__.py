"""Checkpoints of FLUX.1's and Redux's file layout at any width: sizes, names, configurations, tokenizers.

`make.make_checkpoint` fills one with random weights, which is what most tests run on; `training.export` fills
one with the trained weights of `tiny`.
"""
