"""Conditionings changed and combined: guidance, areas, masks, parts of the sampling."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.runtime.values import Conditioning, Entry, Latent, Mask

MAX_SIDE = 16384
_CATEGORY = "comfyui/conditioning"
_ANY = "What the model is conditioned on."


class ConditioningOut(Outputs):
    conditioning: Conditioning = Field(description="The changed conditioning.")


class FluxGuidance(Node):
    """Set how closely FLUX.1 dev follows the prompt; models without a guidance embedder ignore it."""

    category = _CATEGORY

    conditioning: Conditioning = Field(description=_ANY)
    guidance: float = Field(default=3.5, ge=0, le=100, description="3.5 is usual; less is freer.")

    def run(self, ctx: Context) -> ConditioningOut:
        change = self.conditioning.with_entries
        return ConditioningOut(
            conditioning=change(lambda entry: replace(entry, guidance=self.guidance, is_guided=True))
        )


class FluxDisableGuidance(Node):
    """Leave the guidance embedding out of FLUX.1 dev altogether."""

    category = _CATEGORY

    conditioning: Conditioning = Field(description=_ANY)

    def run(self, ctx: Context) -> ConditioningOut:
        change = self.conditioning.with_entries
        return ConditioningOut(
            conditioning=change(lambda entry: replace(entry, guidance=None, is_guided=False))
        )


class ConditioningCombine(Node):
    """Hold two conditionings at once: each is one prediction a step, and the predictions are averaged."""

    category = _CATEGORY

    conditioning_1: Conditioning = Field(description="The first.")
    conditioning_2: Conditioning = Field(description="The second.")

    def run(self, ctx: Context) -> ConditioningOut:
        entries = (*self.conditioning_1.entries, *self.conditioning_2.entries)
        return ConditioningOut(conditioning=Conditioning(entries))


class ConditioningConcat(Node):
    """Append the tokens of another conditioning's first entry to each entry's."""

    category = _CATEGORY

    conditioning_to: Conditioning = Field(description="What is appended to; all else of it is kept.")
    conditioning_from: Conditioning = Field(description="Whose tokens are appended.")

    def run(self, ctx: Context) -> ConditioningOut:
        from run_graph.runtime.networks.picture_tokens import with_tokens

        first = self.conditioning_from.entries[0]

        def joined(entry: Entry) -> Entry:
            found = with_tokens(entry, first.tokens)
            return replace(found, references=(*entry.references, *first.references))

        return ConditioningOut(conditioning=self.conditioning_to.with_entries(joined))


class ConditioningAverage(Node):
    """Mix the tokens and the pooled vector of each entry with those of another conditioning's first entry."""

    category = _CATEGORY

    conditioning_to: Conditioning = Field(description="What is mixed; all else of it is kept.")
    conditioning_from: Conditioning = Field(description="What it is mixed with, cut or filled up with zeros.")
    conditioning_to_strength: float = Field(
        default=1.0, ge=0, le=1, description="The share of `conditioning_to`; the rest is the other's."
    )

    def run(self, ctx: Context) -> ConditioningOut:
        import mlx.core as mx

        first, share = self.conditioning_from.entries[0], self.conditioning_to_strength

        def mixed(entry: Entry) -> Entry:
            length = entry.tokens.shape[1]
            other = first.tokens[:, :length]
            if other.shape[1] < length:
                other = mx.pad(other, [(0, 0), (0, length - other.shape[1]), (0, 0)])
            return replace(
                entry,
                tokens=entry.tokens * share + other * (1 - share),
                pooled=entry.pooled * share + first.pooled * (1 - share),
            )

        return ConditioningOut(conditioning=self.conditioning_to.with_entries(mixed))


class ConditioningZeroOut(Node):
    """Replace tokens and pooled vector by zeros, for a negative that says nothing."""

    category = _CATEGORY

    conditioning: Conditioning = Field(description=_ANY)

    def run(self, ctx: Context) -> ConditioningOut:
        import mlx.core as mx

        def silent(entry: Entry) -> Entry:
            return replace(entry, tokens=mx.zeros_like(entry.tokens), pooled=mx.zeros_like(entry.pooled))

        return ConditioningOut(conditioning=self.conditioning.with_entries(silent))


class ConditioningSetTimestepRange(Node):
    """Let a conditioning hold during a part of the sampling only."""

    category = _CATEGORY

    conditioning: Conditioning = Field(description=_ANY)
    start: float = Field(default=0.0, ge=0, le=1, description="Where it begins: 0 is the first step.")
    end: float = Field(default=1.0, ge=0, le=1, description="Where it ends: 1 is the last step.")

    def run(self, ctx: Context) -> ConditioningOut:
        change = self.conditioning.with_entries
        return ConditioningOut(
            conditioning=change(lambda entry: replace(entry, start=self.start, end=self.end))
        )


class ConditioningSetMask(Node):
    """Let a conditioning hold in a part of the picture, as strongly as a mask says."""

    category = _CATEGORY

    conditioning: Conditioning = Field(description=_ANY)
    mask: Mask = Field(description="Where it holds: 1 wholly, 0 not at all.")
    strength: float = Field(default=1.0, ge=0, le=10, description="Factor on the mask.")
    set_cond_area: Literal["default", "mask bounds"] = Field(
        default="default",
        description="Whether the whole picture is predicted for it, or only the box around the mask.",
    )

    def run(self, ctx: Context) -> ConditioningOut:
        def masked(entry: Entry) -> Entry:
            bounds = self.set_cond_area == "mask bounds"
            return replace(entry, mask=self.mask.values, mask_strength=self.strength, mask_bounds=bounds)

        return ConditioningOut(conditioning=self.conditioning.with_entries(masked))


class ConditioningSetArea(Node):
    """Let a conditioning hold in a rectangle, which is predicted by itself and fades at its edges."""

    category = _CATEGORY

    conditioning: Conditioning = Field(description=_ANY)
    width: int = Field(default=64, ge=64, le=MAX_SIDE, description="Pixels, in steps of 8.")
    height: int = Field(default=64, ge=64, le=MAX_SIDE, description="Pixels, in steps of 8.")
    x: int = Field(default=0, ge=0, le=MAX_SIDE, description="Its left edge, in pixels.")
    y: int = Field(default=0, ge=0, le=MAX_SIDE, description="Its upper edge, in pixels.")
    strength: float = Field(default=1.0, ge=0, le=10, description="Its weight among other conditionings.")

    def run(self, ctx: Context) -> ConditioningOut:
        area = (self.height // 8, self.width // 8, self.y // 8, self.x // 8)
        return ConditioningOut(conditioning=_with_area(self.conditioning, area, False, self.strength))


class ConditioningSetAreaPercentage(Node):
    """As ConditioningSetArea, in shares of the picture's sides."""

    category = _CATEGORY

    conditioning: Conditioning = Field(description=_ANY)
    width: float = Field(default=1.0, ge=0, le=1, description="Share of the picture's width.")
    height: float = Field(default=1.0, ge=0, le=1, description="Share of the picture's height.")
    x: float = Field(default=0.0, ge=0, le=1, description="Where its left edge is.")
    y: float = Field(default=0.0, ge=0, le=1, description="Where its upper edge is.")
    strength: float = Field(default=1.0, ge=0, le=10, description="Its weight among other conditionings.")

    def run(self, ctx: Context) -> ConditioningOut:
        area = (self.height, self.width, self.y, self.x)
        return ConditioningOut(conditioning=_with_area(self.conditioning, area, True, self.strength))


class ConditioningSetAreaStrength(Node):
    """Set a conditioning's weight among others that are combined with it."""

    category = _CATEGORY

    conditioning: Conditioning = Field(description=_ANY)
    strength: float = Field(default=1.0, ge=0, le=10, description="The weight.")

    def run(self, ctx: Context) -> ConditioningOut:
        change = self.conditioning.with_entries
        return ConditioningOut(conditioning=change(lambda entry: replace(entry, strength=self.strength)))


class ReferenceLatent(Node):
    """Show the model another picture beside the one it samples, as FLUX.1 Kontext expects it."""

    category = _CATEGORY

    conditioning: Conditioning = Field(description=_ANY)
    latent: Latent | None = Field(default=None, description="The picture; without one nothing changes.")

    def run(self, ctx: Context) -> ConditioningOut:
        from run_graph.runtime.sampling.latents import to_model_scale

        if self.latent is None:
            return ConditioningOut(conditioning=self.conditioning)
        seen = to_model_scale(self.latent.samples)

        def shown(entry: Entry) -> Entry:
            return replace(entry, reference_latents=(*entry.reference_latents, seen))

        return ConditioningOut(conditioning=self.conditioning.with_entries(shown))


def _with_area(
    conditioning: Conditioning, area: tuple[float, float, float, float], is_share: bool, strength: float
) -> Conditioning:
    return conditioning.with_entries(
        lambda entry: replace(entry, area=area, area_is_share=is_share, strength=strength)
    )
