"""Translate a text with a small language model, run by the optional package mlx-lm.

The model stays in memory from one translation to the next and is released when any other stage begins, so
it is never in memory beside FLUX's networks. Importing this module imports neither mlx nor mlx-lm.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import Any

from run_graph.runtime.current_run import emit
from run_graph.runtime.device import release_cache
from run_graph.runtime.errors import ModelError
from run_graph.runtime.events import Event, ModelEvicted, ModelLoaded, NodeStarted, RunFinished
from run_graph.runtime.files.digests import named_digest
from run_graph.runtime.models.inspection import is_a_file
from run_graph.runtime.models.permissions import may_read

DEFAULT_MODEL = "mlx-community/Qwen2.5-1.5B-Instruct-4bit"
COMPONENT = "language_model"
STAGE = "TranslatePrompt"

_PATH_STARTS = ("./", "../", "/", "~")
_SPARE_TOKENS, _TOKENS_PER_TOKEN = 64, 4  # the longest answer for a text


class LanguageModelError(ModelError):
    """A text cannot be translated: a package, a model or a file is missing, or the model gave no answer."""


def find_language_model(name: str) -> Path:
    """The folder of a language model that is on this machine. Downloads nothing.

    Parameters
    ----------
    name : str
        A folder in mlx-lm's layout (config.json, safetensors, tokenizer), or a Hugging Face repository
        that is in the local cache.

    Raises
    ------
    LanguageModelError
        If mlx-lm is not installed, or there is no such model; the message gives the command that fixes it.
    """
    if importlib.util.find_spec("mlx_lm") is None:
        raise LanguageModelError(
            "translating needs the package mlx-lm, which is not installed. Install it with the command "
            "`uv sync --extra translate`, or run with `uv run --extra translate run-graph ...`"
        )
    path = Path(name).expanduser()
    if name.startswith(_PATH_STARTS) and not may_read(path):
        raise LanguageModelError(f"{path} is outside the server's folders of models; name a model in them")
    if name.startswith(_PATH_STARTS) or (may_read(path) and path.is_dir()):
        if not (path / "config.json").is_file():
            raise LanguageModelError(f"{path} is not the folder of a language model: it has no config.json")
        return _data_only(path.resolve())
    folder = _cached(name)
    if folder is None or not any(folder.glob("*.safetensors")):
        raise LanguageModelError(
            f"the language model {name!r} is not on this machine. Download it with the command "
            f"`hf download {name}`, or give a local folder"
        )
    return _data_only(folder)


def _data_only(folder: Path) -> Path:
    """The folder, unless it holds pipes or devices, or its config names a Python file: data is never code."""
    for path in folder.iterdir():
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise LanguageModelError(f"{path} is not a regular file. Download the model again")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return folder  # reading the model says what is wrong with it
    if isinstance(config, dict) and config.get("model_file"):
        raise LanguageModelError(
            f"{folder} brings Python code ({config['model_file']!r}, named by config.json), which run-graph "
            "never runs. Use a model that mlx-lm knows"
        )
    return folder


def language_model_identity(folder: Path) -> str:
    """A digest of the names and contents of the model's files. Raises OSError if one cannot be read."""
    return named_digest({path.name: path for path in folder.iterdir() if is_a_file(path)})


class Translator:
    """Keeps the language model that was used last in memory; a service that observes runs."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._model: Any = None
        self._tokenizer: Any = None
        self._nbytes = 0
        self._lock = RLock()
        self.loads = 0

    def translate(
        self, folder: Path, text: str, source: str, target: str, on_token: Callable[[int, int], None]
    ) -> str:
        """The text in another language. Decoding is greedy, so the same text gives the same answer.

        Parameters
        ----------
        folder : Path
            From `find_language_model`.
        source, target : str
            Names of languages in English; with an empty `source` the model detects the language.
        on_token : callable
            Called after each token with the number of tokens so far and the most there may be.

        Raises
        ------
        LanguageModelError
            If the model cannot be read, or gives no answer.
        """
        from mlx_lm import stream_generate

        model, tokenizer = self._loaded(folder)  # kept here: another run may release them meanwhile
        limit = _SPARE_TOKENS + _TOKENS_PER_TOKEN * len(tokenizer.encode(text))
        prompt = _question(tokenizer, text, source, target)
        answer = ""
        for response in stream_generate(model, tokenizer, prompt, max_tokens=limit):
            answer += response.text
            on_token(response.generation_tokens, limit)
        if not answer.strip():
            raise LanguageModelError(f"the language model in {folder} gave no answer; choose another model")
        return answer.strip()

    def observe(self, event: Event) -> None:
        """Release the model when a stage of another kind begins or the run is over."""
        another_stage = isinstance(event, NodeStarted) and event.class_type != STAGE
        if another_stage or isinstance(event, RunFinished):
            self.release()

    def release(self) -> None:
        """Remove the model from memory."""
        with self._lock:
            if self._folder is None:
                return
            folder, nbytes = self._folder, self._nbytes
            self._folder = self._model = self._tokenizer = None
        release_cache()
        emit(ModelEvicted(str(folder), COMPONENT, nbytes, 0))

    def _loaded(self, folder: Path) -> tuple[Any, Any]:
        """The model and its tokenizer; reads them if they are not in memory."""
        with self._lock:
            if self._folder != folder:
                self.release()
                self._load(folder)
            return self._model, self._tokenizer

    def _load(self, folder: Path) -> None:
        from mlx.utils import tree_flatten
        from mlx_lm import load

        try:
            self._model, self._tokenizer, *_ = load(
                str(folder), tokenizer_config={"trust_remote_code": False}
            )
        except Exception as error:  # any error of mlx-lm or transformers on damaged or foreign files
            raise LanguageModelError(f"{folder} cannot be read as a language model: {error}") from error
        self._folder = folder
        weights: Any = tree_flatten(self._model.parameters())
        self._nbytes = sum(weight.nbytes for _, weight in weights)
        self.loads += 1
        emit(ModelLoaded(str(folder), COMPONENT, None, self._nbytes, self._nbytes))


def _question(tokenizer: Any, text: str, source: str, target: str) -> Any:
    """Token ids of the request: in the model's chat format, or as plain text if it has none."""
    origin = f" from {source}" if source.strip() else ""
    request = f"Translate this text{origin} into {target}. Answer with the translation only.\n\n{text}"
    if not tokenizer.has_chat_template:
        return tokenizer.encode(f"{request}\n\n")
    messages = [{"role": "user", "content": request}]
    # Reasoning models are asked not to think aloud first; others ignore the setting.
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, enable_thinking=False)


def _cached(repo: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(repo, "config.json")
    except HFValidationError:
        return None
    return Path(config).parent if isinstance(config, str) else None
