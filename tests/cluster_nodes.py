"""Nodes that run on workers without a model."""

import os
import time
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx

from run_graph.graph import Context, Field, Node, Outputs, Registry
from run_graph.runtime.values import Latent


class Where(Outputs):
    process: int
    steps: int


class Steps(Node):
    """Takes steps, saving each, and returns the process that it ran in and how many steps it took there."""

    heavy = True

    count: int = 3
    seconds: float = 0.0
    name: str = ""

    def run(self, ctx: Context) -> Where:
        saved = ctx.resume_state()
        done = saved["done"] if saved else 0
        ctx.progress(done, self.count)
        taken = 0
        for step in range(done, self.count):
            time.sleep(self.seconds)
            ctx.save_state(done=step + 1, latents=mx.full((2,), step + 1))
            taken += 1
            ctx.progress(step + 1, self.count, preview=mx.full((3,), step))
        return Where(process=os.getpid(), steps=taken)


class Here(Node):
    """A light node."""

    after: int = 0

    def run(self, ctx: Context) -> Where:
        return Where(process=os.getpid(), steps=0)


class Ends(Node):
    """Ends its worker, once or always; a file remembers that it did."""

    heavy = True

    file: str
    how: Literal["once", "always", "raise"] = "once"

    def run(self, ctx: Context) -> Where:
        if self.how == "raise":
            raise ValueError("too wide")
        if self.how == "always" or not Path(self.file).exists():
            Path(self.file).touch()
            os._exit(9)
        return Where(process=os.getpid(), steps=1)


class Warned(Node):
    """Warns, and returns a value."""

    heavy = True

    text: str = "cut"

    def run(self, ctx: Context) -> "Made":
        ctx.warn(self.text)
        return Made(latent=Latent(mx.ones((1, 2, 2, 16), mx.bfloat16)))


class Made(Outputs):
    latent: Latent


class Pair(Node):
    """An output node; runs at home, in the order of the plan."""

    is_output = True

    value: Any = Field(description="Anything.")
    name: str = ""

    def run(self, ctx: Context) -> Where:
        return Where(process=os.getpid(), steps=0)


REGISTRY = Registry([Steps, Here, Ends, Warned, Pair])
