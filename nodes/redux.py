"""Redux: a reference picture as tokens, how many of them, and joining them to the prompt's."""

from __future__ import annotations

from dataclasses import replace

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.runtime.images.choices import Kernel
from run_graph.runtime.models.handles import Redux
from run_graph.runtime.networks.token_counts import Mode
from run_graph.runtime.values import Conditioning, Entry, ReduxTokens, Vision


class Tokens(Outputs):
    tokens: ReduxTokens = Field(
        description="The picture as tokens in the prompt's embedding space, on a square grid."
    )


class ReduxEncode(Node):
    """Turn SigLIP's output into tokens that FLUX reads beside the prompt.

    One token per patch: 27 x 27 = 729 for SigLIP at 384 px.
    """

    category = "redux"

    redux: Redux = Field(description="The Redux encoder, from LoadRedux.")
    vision: Vision = Field(description="SigLIP's output, from SiglipEncode.")

    def run(self, ctx: Context) -> Tokens:
        import mlx.core as mx

        from run_graph.runtime.models.store import ModelStore
        from run_graph.runtime.networks.redux import project

        encoder = ctx.service(ModelStore).get(self.redux.checkpoint, "image_embedder", self.redux.quantize)
        tokens = project(encoder.module, self.vision.hidden)
        mx.eval(tokens)
        reference = replace(
            self.vision.reference,
            redux_model=self.redux.checkpoint.name,
            redux_quantize=self.redux.quantize,
            tokens=tokens.shape[0] * tokens.shape[1],
        )
        return Tokens(tokens=ReduxTokens(tokens, reference))


class PatchDownsample(Node):
    """Reduce the token grid: the fewer tokens, the less the picture outweighs the prompt.

    On SigLIP's 27 x 27 grid the modes lowest, low, medium, high and highest keep 25, 36, 81, 169 and 729
    tokens: n = floor(27 / f) per side for f = 5, 4, 3, 2, 1, as in ComfyUI's StyleModelApplySimple and in
    InvokeAI. With an explicit `factor`, n = round(27 / factor), as in ReduxAdvanced. The interpolations are
    those of torch's `interpolate` without antialiasing; `area` averages all patches that a token covers.
    """

    category = "redux"

    tokens: ReduxTokens = Field(description="Tokens on a square grid.")
    mode: Mode = Field(default="medium", description="How much of the picture is kept.")
    interpolation: Kernel = Field(default="area", description="How the smaller grid is computed.")
    factor: float | None = Field(
        default=None, ge=1, le=9, description="What each side is divided by; replaces `mode` if given."
    )

    def run(self, ctx: Context) -> Tokens:
        import mlx.core as mx

        from run_graph.runtime.networks.token_counts import grid_for_factor, grid_for_mode, side_of
        from run_graph.runtime.networks.token_grid import resize_grid

        grid = self.tokens.tokens
        side = side_of(grid.shape[1])
        n = grid_for_mode(self.mode, side) if self.factor is None else grid_for_factor(self.factor, side)
        smaller = resize_grid(grid, n, self.interpolation)
        mx.eval(smaller)
        reference = replace(
            self.tokens.reference,
            mode=self.mode if self.factor is None else None,
            interpolation=self.interpolation,
            factor=self.factor,
            tokens=smaller.shape[0] * smaller.shape[1],
        )
        return Tokens(tokens=ReduxTokens(smaller, reference))


class Conditioned(Outputs):
    conditioning: Conditioning = Field(description="The conditioning with the picture's tokens appended.")


class ConcatConditioning(Node):
    """Append a reference picture's tokens to the prompt's.

    Chain several of these nodes for several pictures. `strength` multiplies the tokens, as in mflux and in
    ComfyUI's StyleModelApply; FLUX normalises its input, so the effect is abrupt rather than gradual.
    PatchDownsample's `mode` is the better way to balance prompt and picture.
    """

    category = "redux"

    conditioning: Conditioning = Field(
        description="The encoded prompt, which may already have pictures' tokens."
    )
    tokens: ReduxTokens = Field(description="The picture's tokens; for a batch, those of all its pictures.")
    strength: float = Field(
        default=1.0, ge=0, le=1, description="Factor on the tokens; 0 leaves them in place as zeros."
    )

    def run(self, ctx: Context) -> Conditioned:
        return Conditioned(conditioning=self.conditioning.with_entries(self._with_picture))

    def _with_picture(self, entry: Entry) -> Entry:
        import mlx.core as mx

        text, picture = entry.tokens, self.tokens.tokens
        if text.shape[-1] != picture.shape[-1]:
            raise ValueError(
                f"the prompt's tokens are {text.shape[-1]} wide and the picture's {picture.shape[-1]}: "
                "LoadFlux and LoadRedux name models that do not belong together; "
                'use "tiny" with "tiny", and "dev-redux" with FLUX.1 models'
            )
        picture = picture.reshape(1, -1, picture.shape[-1])
        scaled = picture if self.strength == 1 else picture * self.strength
        joined = mx.concatenate([text, scaled.astype(text.dtype)], axis=1)
        mx.eval(joined)
        reference = replace(self.tokens.reference, strength=self.strength)
        return replace(entry, tokens=joined, references=(*entry.references, reference))
