"""mflux's model names and defaults, and what they mean here."""

from __future__ import annotations

from pathlib import Path

from run_graph.runtime.errors import ModelError
from run_graph.runtime.formats.mflux.errors import CommandError
from run_graph.runtime.models.aliases import FLUX_ALIASES, TINY, TINY_SCHNELL
from run_graph.runtime.models.checkpoint_facts import shifts_sigmas
from run_graph.runtime.models.names import resolve_flux_model

DEFAULT_MODEL = "dev"
DEFAULT_REDUX = "dev-redux"

_REDUX_REPOSITORY = "black-forest-labs/FLUX.1-Redux-dev"
_SPELLINGS = {
    "dev-krea": "krea-dev",
    # For Redux pictures mflux records the adapter's repository; they are drawn with dev.
    DEFAULT_REDUX: DEFAULT_MODEL,
    _REDUX_REPOSITORY: DEFAULT_MODEL,
}
_STEPS = {"schnell": 4, TINY: 8, TINY_SCHNELL: 8}
_OTHER_STEPS = 25


def canonical(name: str) -> str:
    """The name that LoadFlux takes for one of mflux's spellings; other names unchanged."""
    return _SPELLINGS.get(name, name)


def base_of(name: str) -> str | None:
    """Which of `dev`, `schnell`, `krea-dev` a name or repository means; None for any other."""
    name = canonical(name)
    if name in FLUX_ALIASES:
        return name
    return next((alias for alias, (repo, _) in FLUX_ALIASES.items() if repo == name), None)


def default_steps(model: str, base_model: str | None) -> int:
    """mflux's number of steps: 4 for schnell and what is made from it, 25 for the others; 8 for `tiny`.

    A checkpoint derived from another is recognised by `base_model`, or by a folder or repository name that
    begins with the whole word ``schnell``.
    """
    if model in (TINY, TINY_SCHNELL):
        return _STEPS[model]
    base = base_of(base_model or model)
    if base is None:
        word = "schnell"
        name = model.rstrip("/").rsplit("/", 1)[-1].lower()
        base = word if name.startswith(word) and not name[len(word) : len(word) + 1].isalnum() else None
    return _STEPS.get(base or DEFAULT_MODEL, _OTHER_STEPS)


def redux_model(model: str) -> str:
    """Where SigLIP and the Redux encoder come from: the model's own folder if it has either, as mflux-save
    writes them; else Redux-dev."""
    if model in (TINY, TINY_SCHNELL):
        return TINY
    folder = Path(model).expanduser()
    has_its_own = any(
        any((folder / part).glob("*.safetensors")) for part in ("image_encoder", "image_embedder")
    )
    return model if has_its_own else DEFAULT_REDUX


def check_base_model(model: str, base_model: str | None) -> None:
    """Refuse a `--base-model` that is not a FLUX.1 model or that a local checkpoint contradicts.

    run-graph reads from the checkpoint itself what mflux takes from its base: the noise schedule and the
    length of prompts.

    Raises
    ------
    CommandError
    """
    if base_model is None:
        return
    base = base_of(base_model)
    if base is None:
        known = ", ".join(FLUX_ALIASES)
        raise CommandError(f"--base-model {base_model}: run-graph draws with FLUX.1; name one of {known}")
    shifts = _shifts(model)
    if shifts is not None and shifts != (base != "schnell"):
        found = "dev" if shifts else "schnell"
        raise CommandError(
            f"--base-model {base_model}: {model} is a {found} model by its own files; leave --base-model out"
        )


def _shifts(model: str) -> bool | None:
    """Whether a model on this machine shifts its schedule (schnell does not); None if unknown here."""
    try:
        checkpoint = resolve_flux_model(model)
        whole = checkpoint.repo is None and not checkpoint.faults("transformer")
        return shifts_sigmas(checkpoint) if whole else None
    except ModelError:
        return None  # validation says what is wrong with it
