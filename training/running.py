"""Shared by all training scripts: a seeded, resumable run with averaged weights and a log."""

import argparse
import copy
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

RUNS = Path(__file__).parent / "data" / "runs"


def asked_steps(description: str | None, default: int) -> int:
    """The number of steps from the command line's `--steps`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--steps", type=int, default=default)
    return int(parser.parse_args().steps)


class Run:
    """One training run: its folder, its step, the optimiser, and an exponential average of the weights.

    An interrupted run resumes from its last saved step when it is started again.
    """

    def __init__(
        self, name: str, model: Any, steps: int, rate: float, decay_from: float, average: float
    ) -> None:
        self.folder = RUNS / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model, self.steps, self.rate, self.decay_from = model, steps, rate, decay_from
        self.average = average
        self.averaged = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimisers = optimisers(model, rate)
        self.step = 0
        self.seconds = 0.0
        if (self.folder / "state.pt").is_file():
            self._restore()

    def loop(self, save_every: int = 500, log_every: int = 100) -> Iterator[int]:
        """Yield each step's number and save and log regularly; the caller calls `update` in each step."""
        begun = time.monotonic() - self.seconds
        while self.step < self.steps:
            yield self.step
            self.step += 1
            self.seconds = time.monotonic() - begun
            if self.step % save_every == 0 or self.step == self.steps:
                self.save()

    def update(self, loss: torch.Tensor, clip: float = 1.0) -> None:
        """Take one optimiser step at the scheduled rate, then update the averaged weights."""
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.rate * self._schedule()
            optimiser.step()
        weight = min(self.average, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self.model.parameters()), 1 - weight)

    def log(self, **figures: float) -> None:
        """Append figures to `log.jsonl` and print them."""
        entry = {
            "step": self.step,
            "seconds": round(self.seconds),
            **{k: round(v, 5) for k, v in figures.items()},
        }
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")
        print(entry, flush=True)

    def save(self) -> None:
        """Write the state atomically."""
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, self.folder / "state.tmp")
        os.replace(self.folder / "state.tmp", self.folder / "state.pt")

    def _restore(self) -> None:
        state = torch.load(self.folder / "state.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.seconds = state["step"], state["seconds"]

    def _schedule(self) -> float:
        """Factor on the rate: 200 warm-up steps, constant, then cosine decay to 0 from `decay_from` on."""
        warm = min(1.0, (self.step + 1) / 200)
        done = self.step / self.steps
        if done <= self.decay_from:
            return warm
        return warm * 0.5 * (1 + math.cos(math.pi * (done - self.decay_from) / (1 - self.decay_from)))


def optimisers(model: Any, rate: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside transformer blocks, AdamW for everything else.

    Muon's steps are scaled to the size of AdamW's, so that both use the same rate.
    """
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [p for name, p in trained if p.ndim == 2 and "transformer_blocks" in name]
    others = [p for name, p in trained if not (p.ndim == 2 and "transformer_blocks" in name)]
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.01, foreach=True)
    ]
    if matrices:
        found.append(torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"))
    return found


def averaged_weights(name: str, prefix: str = "") -> dict[str, torch.Tensor]:
    """The averaged weights of a run whose names begin with `prefix`; the prefix is removed."""
    file = RUNS / name / "state.pt"
    if not file.is_file():
        raise SystemExit(f"{file} is missing: run `python -m training.{name}` first.")
    weights: dict[str, torch.Tensor] = torch.load(file, weights_only=True)["averaged"]
    return {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
