"""What a checkpoint's files say about its use: noise schedule, base model, length of prompts."""

from __future__ import annotations

from run_graph.runtime.errors import CheckpointError, DownloadError
from run_graph.runtime.models.aliases import FLUX_ALIASES
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import SCHEDULER_FOLDER, TOKENIZER_FOLDERS
from run_graph.runtime.models.inspection import read_json

_LONG_PROMPT = 512  # T5 tokens for FLUX.1 dev and models derived from it
_SHORT_PROMPT = 256  # T5 tokens for schnell


def shifts_sigmas(checkpoint: Checkpoint) -> bool:
    """Whether the noise schedule is shifted towards noise at larger sizes: dev yes, schnell no.

    This is read from `scheduler_config.json`. mflux saves models without that file; then it depends on
    whether the transformer has a guidance embedder. Among FLUX.1's models only schnell has none. For single
    files it depends on that alone.
    """
    if checkpoint.without_guidance:
        return False
    if checkpoint.shifts is not None:
        return checkpoint.shifts
    try:
        folder = checkpoint.locate(SCHEDULER_FOLDER)
        config = read_json(folder / SCHEDULER_FOLDER / "scheduler_config.json")
    except DownloadError:  # a repository made with mflux-save has no scheduler
        if checkpoint.local_folder("transformer") is None:
            return "schnell" not in (checkpoint.repo or "").lower()
        config = {}
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    if "use_dynamic_shifting" in config:
        return bool(config["use_dynamic_shifting"])
    source = checkpoint.local_source("transformer")
    return True if source is None else source.has_guidance()


def base_model(checkpoint: Checkpoint) -> str:
    """The FLUX.1 model that a checkpoint is or is derived from: `schnell`, `dev` or `krea-dev`.

    Krea-dev is recognised by its repository only, since its files look like dev's.
    """
    known = (alias for alias, (repo, _) in FLUX_ALIASES.items() if repo == checkpoint.repo)
    return next(known, "dev" if shifts_sigmas(checkpoint) else "schnell")


def max_text_tokens(checkpoint: Checkpoint) -> int:
    """How many T5 tokens a prompt is padded or cut to: 512, or 256 for schnell.

    A smaller `model_max_length` of the tokenizer lowers it.
    """
    limit = _LONG_PROMPT if shifts_sigmas(checkpoint) else _SHORT_PROMPT
    folder = checkpoint.locate(TOKENIZER_FOLDERS["t5"])
    try:
        config = read_json(folder / TOKENIZER_FOLDERS["t5"] / "tokenizer_config.json")
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    stated = config.get("model_max_length")
    return min(limit, stated) if isinstance(stated, int) and stated > 0 else limit
