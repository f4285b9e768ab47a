"""From what a workflow names as a model to its checkpoint.

A name is looked up in this order: a path; a file in the working directory; the names that native loaders know
(`tiny`, `dev`, ...); the user's folders of models (:mod:`runtime.models.library`), where letter case does not
count; the well-known names of ComfyUI's files (:mod:`runtime.models.known_files`), whose weights are read
from whoever published them; a Hugging Face repository or a folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from run_graph.runtime.errors import CheckpointError, UnknownModelError
from run_graph.runtime.models.aliases import FLUX_ALIASES, REDUX_ALIASES, TINY, TINY_SCHNELL, UNGATED
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import COMPONENTS, TEXT_ENCODERS, TEXT_PARTS, Component
from run_graph.runtime.models.known_files import (
    CLIP,
    STYLE_MODEL,
    T5,
    TEXT_ENCODER,
    VAE,
    VISION,
    WHOLE,
    Role,
    is_file_name,
)
from run_graph.runtime.models.library.finding import files, find, what_is_there
from run_graph.runtime.models.resolution import (
    Resolve,
    file_called,
    from_files,
    is_path,
    resolve_flux,
    shared_parts,
)
from run_graph.runtime.models.sources import WORDS, file_networks

_NATIVE = {TINY, TINY_SCHNELL, *FLUX_ALIASES, *REDUX_ALIASES}
_FLUX_FILE = Role(
    "a FLUX.1 model", WHOLE.files, resolve_flux, WHOLE.parts, ("diffusion_models", "checkpoints")
)
# Whose files complete one that has only a transformer, and one that has only a part of Redux.
_FLUX_COMPANIONS, _REDUX_COMPANIONS = (T5, CLIP, VAE), (VISION, STYLE_MODEL)


class Whole(NamedTuple):
    """The checkpoints of a file's transformer, and of its text encoders and autoencoder."""

    transformer: Checkpoint
    others: Checkpoint


def resolve(role: Role, name: str) -> Checkpoint:
    """The checkpoint of what a loader reads from the file, or the model, called `name`.

    Raises
    ------
    UnknownModelError
        If there is none; the message lists what was sought where, and what is there.
    CheckpointError
        If the file cannot be read, or holds something else.
    """
    name = name.strip()
    if (path := _file(role, name)) is not None:
        return _holding(role, name, [path])
    return _published(role, name)


def resolver(role: Role) -> Resolve:
    """`resolve` for one role."""
    return partial(resolve, role)


def resolve_flux_model(name: str) -> Checkpoint:
    """The checkpoint that `LoadFlux(model=name)` means. Raises as `resolve`.

    What the single file of a transformer lacks is read from well-known files in the user's folders, as far as
    they have it.
    """
    return _completed(_FLUX_FILE, name, _FLUX_COMPANIONS)


def resolve_redux_model(name: str) -> Checkpoint:
    """The checkpoint that `LoadRedux(model=name)` means, completed in the same way. Raises as `resolve`."""
    return _completed(STYLE_MODEL, name, _REDUX_COMPANIONS)


def resolve_text_encoders(first: str, second: str) -> Checkpoint:
    """The checkpoint that has both text encoders: T5 and CLIP, in either order, or one model named twice.

    Raises
    ------
    UnknownModelError
        If one is not known, both are the same encoder, or they belong to different models.
    CheckpointError
        If a file cannot be read.
    """
    names = [first.strip(), second.strip()]
    paths = [path for name in names if (path := _file(TEXT_ENCODER, name)) is not None]
    if len(paths) == 2:
        _refuse_one_encoder(names, [_held(path) for path in paths])
        return _holding(TEXT_ENCODER, " + ".join(names), list(dict.fromkeys(paths)), all_of=TEXT_ENCODERS)
    published = [_published(TEXT_ENCODER, name) for name in names if _file(TEXT_ENCODER, name) is None]
    if len(paths) == 1:
        return _beside(names, paths[0], published[0])
    _refuse_one_encoder(names, [_usually_held(name) for name in names])
    if published[0] != published[1]:
        raise UnknownModelError(
            f"{first!r} and {second!r} belong to different models, {published[0].name} and "
            f"{published[1].name}; name two files of one."
        )
    return published[0]


def resolve_both_text_encoders(name: str) -> Checkpoint:
    """The checkpoint of a model's text encoders.

    Raises
    ------
    UnknownModelError
        If `name` is not a model's, or is that of a file which has only one.
    """
    path = _file(TEXT_ENCODER, name.strip())
    held = set() if path is None else _held(path)
    if (path is None and not is_path(name) and _usually_held(name)) or len(held & set(TEXT_ENCODERS)) == 1:
        raise UnknownModelError(
            f"{name!r} is one of FLUX.1's two text encoders; name both, T5 and CLIP, with DualCLIPLoader."
        )
    return resolve(TEXT_ENCODER, name)


def resolve_whole(name: str) -> Whole:
    """The checkpoints of a whole model's file, completed as in `resolve_flux_model`. Raises as `resolve`."""
    name = name.strip()
    if (path := _file(WHOLE, name)) is not None:
        model = _holding(WHOLE, name, _with_companions(path, _FLUX_COMPANIONS), apart=False)
        return Whole(model.of("transformer"), model.of(*TEXT_PARTS, "vae"))
    transformer = _published(WHOLE, name)
    if is_path(name) or (model_name := WHOLE.model_of(name)) is None or name in _NATIVE:
        return Whole(transformer, transformer)
    is_tiny = model_name in (TINY, TINY_SCHNELL)
    return Whole(transformer, resolve_flux(TINY) if is_tiny else shared_parts((*TEXT_PARTS, "vae")))


def _file(role: Role, name: str) -> Path | None:
    """The single file that a name means, if it means one. Raises UnknownModelError."""
    if (path := file_called(name)) is not None:
        return path
    if is_path(name) or name in _NATIVE:
        return None
    found = find(name, role.categories)
    return None if found is None or found.path.is_dir() else found.path


def _folder(role: Role, name: str) -> Path | None:
    """The folder of a model that a name means in the user's folders, if it means one."""
    found = find(name, role.categories)
    return found.path if found is not None and found.path.is_dir() else None


def _published(role: Role, name: str) -> Checkpoint:
    """The checkpoint of a name that means no single file. Raises UnknownModelError."""
    if is_path(name):
        return role.resolve(name)
    if name in _NATIVE:
        return role.resolve(name)
    if (folder := _folder(role, name)) is not None:
        return role.resolve(str(folder))
    if (model := role.model_of(name)) is not None:
        is_shared = model == UNGATED and "transformer" not in role.parts
        return shared_parts(role.parts) if is_shared else role.resolve(model)
    reason = f"There is no file {name!r} for {role.what}."
    if not is_file_name(name):
        try:
            return role.resolve(name)
        except UnknownModelError as error:
            reason = str(error)
    raise UnknownModelError(
        f"{reason} {what_is_there(role.categories)}. Well-known files, which are downloaded where they are "
        f"missing, are {', '.join(role.files)}, in any precision."
    )


def _completed(role: Role, name: str, companions: Sequence[Role]) -> Checkpoint:
    name = name.strip()
    if (path := _file(role, name)) is None:
        return _published(role, name)
    role.resolve(str(path))  # refuses a file that does not hold what the node is for
    return from_files(name, _with_companions(path, companions))


def _with_companions(path: Path, companions: Sequence[Role]) -> list[Path]:
    """A file, and files of other networks from the user's folders that it can be used with.

    Of several with one network the largest, which is the most precise.
    """
    held, paths = _held(path), [path]
    for role in companions:
        if not held & set(role.parts):
            for other in _well_known(role):
                networks = _held(other)
                if networks == set(role.parts):
                    paths.append(other)
                    break
    return paths


def _well_known(role: Role) -> Iterator[Path]:
    """The files in the user's folders with a name that is known for a published model, the largest first."""
    found = [
        each.path
        for each in files(*role.categories)
        if role.model_of(each.name) not in (None, TINY, TINY_SCHNELL)
    ]
    yield from sorted(found, key=lambda path: -path.stat().st_size)


def _holding(
    role: Role,
    name: str,
    paths: Sequence[Path],
    *,
    all_of: Sequence[str] = (),
    apart: bool = True,
) -> Checkpoint:
    """The checkpoint of these files.

    Parameters
    ----------
    all_of
        Components that they must hold. Default: one of those that the role reads.
    apart
        Whether only what the role reads is kept.

    Raises
    ------
    CheckpointError
        If they hold something else.
    """
    checkpoint = from_files(name, paths)
    held = [component for component, _ in checkpoint.files]
    components = [part for part in role.parts if part in COMPONENTS]
    if not set(held) & set(components) or not set(all_of) <= set(held):
        has = " and ".join(WORDS[component] for component in held)
        raise CheckpointError(f"{paths[0]} holds {has}; what is needed here is {role.what}.")
    return checkpoint.of(*role.parts) if apart else checkpoint


def _beside(names: Sequence[str], path: Path, other: Checkpoint) -> Checkpoint:
    """One encoder from a file, the other from a published model."""
    held = _held(path)
    rest = next(name for name in names if _file(TEXT_ENCODER, name) is None)
    _refuse_one_encoder(names, [held, _usually_held(rest)])
    checkpoint = _holding(TEXT_ENCODER, " + ".join(names), [path])
    return replace(checkpoint, rest=other)


def _held(path: Path) -> set[Component]:
    return {found.component for found in file_networks(path)}


def _usually_held(name: str) -> set[Component]:
    """The text encoder in a file with a well-known name."""
    if is_path(name):
        return set()
    return {
        part for role in (T5, CLIP) if role.model_of(name) for part in TEXT_ENCODERS if part in role.parts
    }


def _refuse_one_encoder(names: Sequence[str], held: Sequence[set[Component]]) -> None:
    for role, other in ((T5, "CLIP (clip_l)"), (CLIP, "T5 (t5xxl)")):
        if all(networks & set(TEXT_ENCODERS) == set(role.parts) for networks in held):
            raise UnknownModelError(
                f"{names[0]!r} and {names[1]!r} are both {role.what}; FLUX.1 needs {other} as well."
            )
