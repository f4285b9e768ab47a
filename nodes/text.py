"""Text encoders: from a prompt to a conditioning."""

from __future__ import annotations

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.runtime.models.handles import TextEncoders
from run_graph.runtime.values import Conditioning


class Encoded(Outputs):
    conditioning: Conditioning = Field(description="The encoded prompt.")


class TextEncode(Node):
    """Encode a prompt with T5 and CLIP.

    T5's tokens are padded or truncated to the model's length (512; 256 for schnell), CLIP's to 77. What is
    cut off is reported, in the picture's metadata too; so is other programs' syntax, such as `(word:1.2)`,
    which is read as plain words. The prompt may be empty, and often is with a reference picture.
    """

    category = "conditioning"

    text_encoders: TextEncoders = Field(description="T5 and CLIP, from LoadFlux.")
    prompt: str = Field(description="What to draw.", json_schema_extra={"multiline": True})

    def run(self, ctx: Context) -> Encoded:
        from run_graph.runtime.models.prompt_notes import prompt_notes
        from run_graph.runtime.models.store import ModelStore
        from run_graph.runtime.models.text import encode_prompt

        handle, store = self.text_encoders, ctx.service(ModelStore)
        warnings = tuple(prompt_notes(store, handle.checkpoint, self.prompt))
        for warning in warnings:
            ctx.warn(warning)
        tokens, pooled = encode_prompt(store, handle, self.prompt)
        return Encoded(conditioning=Conditioning.of(tokens, pooled, self.prompt, warnings))
