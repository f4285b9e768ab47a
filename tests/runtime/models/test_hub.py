"""Downloads, with the Hugging Face Hub simulated."""

import shutil
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path

import httpx
import huggingface_hub
import pytest
from huggingface_hub import errors

from runtime.models.checkpoints import Checkpoint, resolve_flux, shifts_sigmas
from runtime.models.errors import DownloadError

RESPONSE = httpx.Response(401, request=httpx.Request("GET", "https://example.org"))


class FakeHub:
    """Serves files of `source` into a cache folder, and remembers what was asked of it."""

    def __init__(self, source: Path, cache: Path) -> None:
        self.source, self.cache = source, cache
        self.downloads: list[Sequence[str]] = []
        self.error: Exception | None = None

    def snapshot_download(
        self, repo: str, *, revision: str | None, allow_patterns: Sequence[str], local_files_only: bool
    ) -> str:
        if not local_files_only:
            self.downloads.append(allow_patterns)
            if self.error is not None:
                raise self.error
            self._copy(allow_patterns)
        if not self.cache.exists():
            raise errors.LocalEntryNotFoundError("nothing cached")
        return str(self.cache)

    def _copy(self, patterns: Sequence[str]) -> None:
        for path in self.source.rglob("*"):
            name = path.relative_to(self.source).as_posix()
            if path.is_file() and any(fnmatch(name, pattern) for pattern in patterns):
                (self.cache / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, self.cache / name)


@pytest.fixture
def hub(small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(small_folder, tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    return fake


def test_only_the_part_that_is_needed_is_downloaded(hub: FakeHub) -> None:
    folder = resolve_flux("dev").locate_whole("text_encoder")
    assert {path.name for path in folder.iterdir()} == {"text_encoder"}
    assert hub.downloads == [["text_encoder/*.json", "text_encoder/*.safetensors"]]


def test_what_is_cached_whole_is_not_downloaded_again(hub: FakeHub) -> None:
    checkpoint = resolve_flux("dev")
    checkpoint.locate("vae")
    checkpoint.locate("vae")
    assert len(hub.downloads) == 1
    checkpoint.locate("image_embedder")
    assert len(hub.downloads) == 2


def test_a_cache_that_is_incomplete_is_completed(hub: FakeHub) -> None:
    checkpoint = resolve_flux("dev")
    weights = checkpoint.locate("vae") / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    checkpoint.locate_whole("vae")
    assert len(hub.downloads) == 2


def test_resolving_and_checking_download_nothing(hub: FakeHub) -> None:
    assert resolve_flux("dev").faults("transformer", "vae") == []
    assert hub.downloads == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            errors.GatedRepoError("gated", response=RESPONSE),
            ["is gated", "https://huggingface.co/black-forest-labs/FLUX.1-dev", "`hf auth login`"],
        ),
        (
            errors.RepositoryNotFoundError("no", response=RESPONSE),
            ["shows no repository", "Check the spelling"],
        ),
        (errors.RevisionNotFoundError("no", response=RESPONSE), ["has no revision"]),
        (errors.LocalEntryNotFoundError("offline"), ["cannot be reached", "local folder"]),
        (errors.OfflineModeIsEnabled("offline"), ["cannot be reached", "HF_HUB_OFFLINE"]),
        (httpx.ConnectError("no route"), ["cannot be reached"]),
        (OSError(28, "No space left on device"), ["No space left on device", "Run again to resume"]),
    ],
)
def test_a_failed_download_says_what_to_do(hub: FakeHub, error: Exception, said: list[str]) -> None:
    hub.error = error
    with pytest.raises(DownloadError) as caught:
        resolve_flux("dev").locate("vae")
    for words in ["black-forest-labs/FLUX.1-dev", *said]:
        assert words in str(caught.value)


def test_a_repository_that_lacks_the_part_is_named(hub: FakeHub, tmp_path: Path) -> None:
    hub.source = tmp_path / "empty"
    hub.cache.mkdir()
    with pytest.raises(DownloadError, match=r"some/model is incomplete.*'vae'"):
        resolve_flux("some/model").locate("vae")


@pytest.mark.parametrize(("repo", "shifts"), [("a/flux-schnell-4bit", False), ("a/flux-dev-4bit", True)])
def test_without_a_scheduler_the_repositorys_name_tells(hub: FakeHub, repo: str, shifts: bool) -> None:
    hub.error = errors.LocalEntryNotFoundError("offline")
    assert shifts_sigmas(Checkpoint(repo, repo=repo)) is shifts


def test_a_downloaded_component_loads(hub: FakeHub) -> None:
    from runtime.models.loading import load_component

    assert load_component(resolve_flux("dev"), "text_encoder").nbytes > 0


def test_huggingface_hub_takes_the_arguments_we_give() -> None:
    import inspect

    signature: Callable[..., object] = huggingface_hub.snapshot_download
    accepted = inspect.signature(signature).parameters
    assert {"repo_id", "revision", "allow_patterns", "local_files_only"} <= set(accepted)
