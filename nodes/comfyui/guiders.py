"""Guiders: a model, what it is conditioned on, and how predictions become one."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar, Literal

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.graph.sockets import SocketValue
from run_graph.runtime.models.handles import Flux
from run_graph.runtime.values import Conditioning, Entry

_CATEGORY = "comfyui/sampling/guiders"
CFG = "How far the prediction is moved away from the negative's; 1 leaves the negative out."


@dataclass(frozen=True, eq=False)
class Guider(SocketValue):
    """What predicts the picture without noise.

    Attributes
    ----------
    model : Flux
    positive, negative, middle : tuple of Entry
        Empty where there is none. ``middle`` is the second condition of guidance by two.
    scale, middle_scale : float
    is_nested : bool
        See :class:`runtime.sampling.conditioned.Guidance`.
    """

    socket_type: ClassVar[str] = "GUIDER"

    model: Flux
    positive: tuple[Entry, ...]
    negative: tuple[Entry, ...] = ()
    scale: float = 1.0
    middle: tuple[Entry, ...] = ()
    middle_scale: float = 1.0
    is_nested: bool = False

    @property
    def affinity(self) -> Hashable:
        """The weights that a node with this input computes with: those of the model."""
        return self.model.affinity


class Guided(Outputs):
    guider: Guider = Field(description="The guider, for a sampler.")


class BasicGuider(Node):
    """Predict with a positive conditioning alone."""

    category = _CATEGORY
    persistent = False
    heavy = False  # nothing is computed

    model: Flux = Field(description="The transformer.")
    conditioning: Conditioning = Field(description="What the picture shows.")

    def run(self, ctx: Context) -> Guided:
        return Guided(guider=Guider(self.model, self.conditioning.entries))


class CFGGuider(Node):
    """Predict with a positive and a negative conditioning (classifier-free guidance)."""

    category = _CATEGORY
    persistent = False
    heavy = False  # nothing is computed

    model: Flux = Field(description="The transformer.")
    positive: Conditioning = Field(description="What the picture shows.")
    negative: Conditioning = Field(description="What it does not show.")
    cfg: float = Field(default=8.0, ge=0, le=100, description=CFG)

    def run(self, ctx: Context) -> Guided:
        return Guided(guider=Guider(self.model, self.positive.entries, self.negative.entries, self.cfg))


class DualCFGGuider(Node):
    """Predict with two positive conditionings and a negative one."""

    category = _CATEGORY
    persistent = False
    heavy = False  # nothing is computed

    model: Flux = Field(description="The transformer.")
    cond1: Conditioning = Field(description="The first condition.")
    cond2: Conditioning = Field(description="The second, which lies between the first and the negative.")
    negative: Conditioning = Field(description="What the picture does not show.")
    cfg_conds: float = Field(default=8.0, ge=0, le=100, description="How far from the second to the first.")
    cfg_cond2_negative: float = Field(
        default=8.0, ge=0, le=100, description="How far from the negative to the second."
    )
    style: Literal["regular", "nested"] = Field(
        default="regular", description="Whether both steps are added, or one is taken from the other's end."
    )

    def run(self, ctx: Context) -> Guided:
        guider = Guider(
            self.model,
            self.cond1.entries,
            self.negative.entries,
            self.cfg_conds,
            self.cond2.entries,
            self.cfg_cond2_negative,
            self.style == "nested",
        )
        return Guided(guider=guider)
