"""How far this machine's results are from the stored ones, and how far they may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from run_graph.runtime.doctor.reference import (
    PICTURES,
    Array,
    network_outputs,
    picture,
    stored_outputs,
    stored_picture,
)

if TYPE_CHECKING:
    from run_graph.runtime.models.store import ModelStore


@dataclass(frozen=True)
class Tolerance:
    """The largest errors that are taken for rounding.

    Attributes
    ----------
    network : float
        Of a network's output, as a share of the largest value in it.
    packed : float
        The same, with weights of 4 bits: where they are rounded depends on the number format.
    picture : float
        Of a picture's samples, in steps of 1/255. What is stored is itself rounded to whole steps.
    """

    network: float
    packed: float
    picture: float


# Measured on a CPU, with MLX's products and with numpy's: float32 1.4e-6, 0, 0.5; bfloat16 0.014, 0.094, 4.4.
TOLERANCES: Mapping[str, Tolerance] = {
    "float32": Tolerance(1e-4, 1e-4, 1.0),
    "bfloat16": Tolerance(0.05, 0.25, 16.0),
}


@dataclass(frozen=True)
class Agreement:
    """The worst error of one result.

    Attributes
    ----------
    name : str
        Of the network, or of the example workflow that drew a picture.
    error, allowed : float
        A network's as a share of its largest value, a picture's in steps of 1/255. The error is infinite if a
        value is not a number or the shape is another.
    """

    name: str
    error: float
    allowed: float

    @property
    def ok(self) -> bool:
        """Whether the error is within rounding."""
        return self.error <= self.allowed


def compare(store: ModelStore, dtype: str) -> Iterator[Agreement]:
    """Compare each network's output, then whole pictures, with what is stored.

    Parameters
    ----------
    store
        Holds the built-in model.
    dtype
        Of the weights: a key of `TOLERANCES`.
    """
    allowed = TOLERANCES[dtype]
    found = network_outputs(store)
    for name, stored in stored_outputs().items():
        limit = allowed.packed if "bits" in name else allowed.network
        error = worst(found[name], stored) / float(np.abs(stored).max())
        yield Agreement(name, error, limit)
    for name in PICTURES:
        error = 255 * worst(picture(store, name), stored_picture(name))
        yield Agreement(f"picture {name}", error, allowed.picture)


def worst(found: Array, stored: Array) -> float:
    """The largest difference; infinite for another shape or a value that is not a number."""
    if found.shape != stored.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - stored).max())
