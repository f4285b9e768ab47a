"""Prompts in other languages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from run_graph.graph import Context, Effect, Environment, Field, Node, Outputs, Problem
from run_graph.runtime.models.translation import (
    DEFAULT_MODEL,
    LanguageModelError,
    Translator,
    find_language_model,
    language_model_identity,
)


class Translated(Outputs):
    text: str = Field(description="The text in the target language.")


class TranslatePrompt(Node):
    """Translate a text with a small language model on this machine.

    FLUX.1 understands English best. Link the text to TextEncode's `prompt`. This needs the optional package
    mlx-lm (`uv sync --extra translate`) and a model that has been downloaded (`hf download NAME`). Decoding
    is greedy, so the same text always gives the same translation.
    """

    category = "conditioning"

    text: str = Field(description="The text to translate.", json_schema_extra={"multiline": True})
    source: str = Field(
        default="", description="Its language, such as `Italian`; empty: the model recognises it."
    )
    target: str = Field(default="English", description="The language to translate into.")
    model: str = Field(default=DEFAULT_MODEL, description="A repository or folder that mlx-lm can load.")

    def check(self, env: Environment) -> Iterable[Problem]:
        if not isinstance(self.model, str):
            return
        try:
            find_language_model(self.model)
        except LanguageModelError as error:
            yield Problem("model", str(error), "Then run again.", found=self.model)

    def fingerprint(self, env: Environment) -> Any:
        # A name that a link delivers is not known yet; the source's key covers it.
        known = isinstance(self.model, str)
        return language_model_identity(find_language_model(self.model)) if known else None

    def effects(self, env: Environment) -> Iterable[Effect]:
        if isinstance(self.model, str):
            yield Effect("model", str(find_language_model(self.model)), "model")

    def run(self, ctx: Context) -> Translated:
        if not self.text.strip():
            return Translated(text=self.text)
        folder = find_language_model(self.model)
        translator = ctx.service(Translator)
        text = translator.translate(folder, self.text, self.source, self.target, ctx.progress)
        return Translated(text=text)
