"""From a model's name to its files."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from run_graph.runtime.errors import UnknownModelError
from run_graph.runtime.models.aliases import FLUX_ALIASES, REDUX_ALIASES
from run_graph.runtime.models.checkpoint_facts import max_text_tokens, shifts_sigmas
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.resolution import resolve_flux, resolve_redux

Copy = Callable[..., Checkpoint]


@pytest.mark.parametrize(
    ("name", "repo"),
    [
        ("schnell", "black-forest-labs/FLUX.1-schnell"),
        ("dev", "black-forest-labs/FLUX.1-dev"),
        ("krea-dev", "black-forest-labs/FLUX.1-Krea-dev"),
    ],
)
def test_aliases_name_the_published_repositories(name: str, repo: str) -> None:
    checkpoint = resolve_flux(name)
    assert (checkpoint.repo, checkpoint.folder) == (repo, None)
    assert checkpoint.identity == f"hub:{repo}@{checkpoint.revision}"


def test_redux_has_its_own_alias() -> None:
    assert resolve_redux("dev-redux").repo == "black-forest-labs/FLUX.1-Redux-dev"


def test_pinned_revisions_are_mfluxs() -> None:
    from mflux.models.common.resolution.model_revisions import ModelRevisions

    for repo, revision in [*FLUX_ALIASES.values(), *REDUX_ALIASES.values()]:
        assert ModelRevisions.get(repo) == revision


def test_a_repository_is_taken_by_its_id_and_may_name_a_revision() -> None:
    assert resolve_flux("some/model").repo == "some/model"
    assert resolve_flux("some/model").identity == "hub:some/model@main"
    assert resolve_flux("some/model@v1").revision == "v1"


def test_a_published_repository_is_pinned_however_it_is_named() -> None:
    assert resolve_flux("black-forest-labs/FLUX.1-dev").identity == resolve_flux("dev").identity


@pytest.mark.parametrize("resolve", [resolve_flux, resolve_redux])
def test_tiny_serves_both_loaders(resolve: Callable[[str], Checkpoint]) -> None:
    checkpoint = resolve("tiny")
    assert checkpoint.identity.startswith("tiny:")
    assert checkpoint.folder is None
    assert checkpoint.repo is None


def test_an_existing_folder_is_a_model_by_any_spelling(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_folder.parent)
    monkeypatch.setenv("HOME", str(small_folder.parent))
    for name in (str(small_folder), "./small", "small", "~/small"):
        assert resolve_flux(name).folder == small_folder


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("schnel", "Did you mean 'schnell'?"),
        ("Dev", "Did you mean 'dev'?"),
        ("sdxl", "Known names are tiny, tiny-schnell, schnell, dev, krea-dev."),
        ("", "Known names are tiny"),
        ("dev-redux", "dev-redux belongs in LoadRedux"),
        ("./nowhere", "nowhere does not exist"),
        ("/no/where", "/no/where does not exist"),
    ],
)
def test_an_unknown_name_says_what_would_do(name: str, said: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        resolve_flux(name)
    assert said in str(caught.value)


def test_a_flux_model_is_no_redux_model() -> None:
    with pytest.raises(UnknownModelError, match="dev belongs in LoadFlux; here use tiny or dev-redux"):
        resolve_redux("dev")


def test_a_folders_identity_does_not_depend_on_its_place_or_times(copy_of: Copy, tmp_path: Path) -> None:
    """So that keys agree between machines."""
    checkpoint = copy_of("image_embedder")
    before = checkpoint.identity
    assert Checkpoint("again", folder=checkpoint.folder).identity == before
    assert checkpoint.folder is not None
    moved = checkpoint.folder.rename(tmp_path / "moved")
    for path in moved.rglob("*"):
        os.utime(path, ns=(1, 1))
    (moved / "image_embedder" / "._config.json").write_bytes(b"a companion file of macOS")
    (moved / "README.md").write_text("not of the model")
    assert Checkpoint("moved", folder=moved).identity == before


@pytest.mark.parametrize(
    "name",
    ["vae/diffusion_pytorch_model.safetensors", "vae/config.json", "tokenizer_2/tokenizer.json"],
)
def test_a_folders_identity_changes_with_the_content_of_any_file(copy_of: Copy, name: str) -> None:
    """Size and times stay as they were, as after `rsync -t` or in containers whose files have one date."""
    checkpoint = copy_of("vae", "tokenizer_2")
    assert checkpoint.folder is not None
    path = checkpoint.folder / name
    os.utime(path, ns=(10**18, 10**18))
    before = checkpoint.identity
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(10**18, 10**18))
    assert checkpoint.identity != before


def test_a_folders_identity_changes_when_files_are_renamed_or_swapped(copy_of: Copy) -> None:
    checkpoint = copy_of("vae", "image_embedder")
    assert checkpoint.folder is not None
    before = checkpoint.identity
    one, other = (checkpoint.folder / part / "config.json" for part in ("vae", "image_embedder"))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    swapped = checkpoint.identity
    one.rename(one.with_name("other.json"))
    assert len({before, swapped, checkpoint.identity}) == 3


def test_tinys_identity_is_the_same_in_every_process() -> None:
    program = (
        "from run_graph.runtime.models.resolution import resolve_flux; print(resolve_flux('tiny').identity)"
    )
    printed = subprocess.check_output([sys.executable, "-c", program], text=True).strip()
    assert printed == resolve_flux("tiny").identity


@pytest.mark.parametrize(("dynamic", "limit"), [(True, 512), (False, 256)])
def test_the_scheduler_tells_dev_from_schnell(copy_of: Copy, dynamic: bool, limit: int) -> None:
    checkpoint = copy_of("scheduler", "tokenizer_2")
    assert checkpoint.folder is not None
    (checkpoint.folder / "scheduler" / "scheduler_config.json").write_text(
        json.dumps({"use_dynamic_shifting": dynamic})
    )
    config = checkpoint.folder / "tokenizer_2" / "tokenizer_config.json"
    assert shifts_sigmas(checkpoint) is dynamic
    assert max_text_tokens(checkpoint) == 16, "what the tokenizer states is less"
    config.write_text(json.dumps({"model_max_length": 10**30}))
    assert max_text_tokens(checkpoint) == limit
    config.write_text("{}")
    assert max_text_tokens(checkpoint) == limit


def test_without_a_scheduler_the_guidance_embedder_tells(copy_of: Copy, tmp_path: Path) -> None:
    from training.layout.make import make_checkpoint
    from training.layout.spec import TinySpec

    assert shifts_sigmas(copy_of("transformer")) is True
    schnell = tmp_path / "schnell"
    make_checkpoint(schnell, TinySpec(guidance=False, joint_blocks=1, single_blocks=1))
    (schnell / "scheduler" / "scheduler_config.json").unlink()
    assert shifts_sigmas(Checkpoint("schnell", folder=schnell)) is False


def test_resolving_and_checking_import_nothing_heavy() -> None:
    program = (
        "import sys; from run_graph.runtime.models.resolution import resolve_flux; "
        "from run_graph.runtime.models.store import "
        "ModelStore; ModelStore(); resolve_flux('dev').faults('vae'); resolve_flux('tiny').identity; "
        "print([m for m in ('mlx', 'mflux', 'PIL', 'huggingface_hub') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
