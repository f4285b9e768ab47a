"""Stand-ins for FLUX's transformer whose flow is known."""

from typing import Any

import mlx.core as mx


class Levels:
    """Modulations that are the noise levels themselves."""

    def at(self, sigma: float) -> float:
        return sigma


class Curved:
    """A curved flow: the velocity depends on latents and noise level. Notes what it was asked."""

    def __init__(self) -> None:
        self.levels: list[float] = []
        self.batches: list[int] = []

    def modulations(self, prepared: object, sigmas: object) -> Levels:
        return Levels()

    def step(self, latents: mx.array, sigma: float, prepared: object) -> mx.array:
        self.levels.append(sigma)
        self.batches.append(latents.shape[0])
        return latents * sigma


class Straight(Curved):
    """A straight flow: Euler's method is exact, whatever the steps."""

    def __init__(self, velocity: mx.array) -> None:
        super().__init__()
        self.velocity = velocity

    def step(self, latents: mx.array, sigma: float, prepared: object) -> mx.array:
        super().step(latents, sigma, prepared)
        return self.velocity


def any_transformer(transformer: Curved) -> Any:
    """The stand-in as what the loop takes."""
    return transformer
