"""Downloads: the real huggingface_hub against a local Hub."""

import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hub_server import COMMIT, Hub, serving, use
from huggingface_hub import constants, errors

from run_graph.runtime.errors import DownloadError
from run_graph.runtime.events import Downloading, Event
from run_graph.runtime.models import download, hub
from run_graph.runtime.models.checkpoint_facts import max_text_tokens, shifts_sigmas
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.download import fetch_blobs
from run_graph.runtime.models.resolution import resolve_flux, resolve_redux

RESPONSE = httpx.Response(401, request=httpx.Request("GET", "https://example.org"))
WEIGHTS = "vae/diffusion_pytorch_model.safetensors"
VAE = ["vae/*.json", "vae/*.safetensors"]


@pytest.fixture
def server(small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with serving(small_folder) as served:
        use(served, tmp_path / "hub", monkeypatch)
        yield served


def partial(tmp_path: Path) -> Path:
    """The partial file of the only unfinished large file."""
    (path,) = tmp_path.glob("hub/models--*/blobs/*.partial")
    return path


def test_only_the_part_that_is_needed_is_downloaded(server: Hub) -> None:
    folder = resolve_flux("some/model").locate_complete("text_encoder")
    assert {path.name for path in folder.iterdir()} == {"text_encoder"}
    assert [name for name, _ in server.downloads()] == ["text_encoder/model.safetensors"]


def test_a_completely_cached_part_is_not_requested_again(server: Hub) -> None:
    checkpoint = resolve_flux("some/model")
    checkpoint.locate("vae")
    server.requests.clear()
    checkpoint.locate("vae")
    assert server.requests == []
    checkpoint.locate("image_embedder")
    assert len(server.downloads()) == 1


def test_a_truncated_cached_file_is_downloaded_again(server: Hub) -> None:
    checkpoint = resolve_flux("some/model")
    weights = (checkpoint.locate("vae") / WEIGHTS).resolve()
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    checkpoint.locate_complete("vae")
    assert weights.read_bytes() == whole


def test_a_revision_is_requested_by_name(server: Hub) -> None:
    server.revisions = {"v1", COMMIT}
    folder = resolve_flux("some/model@v1").locate_complete("vae")
    assert folder.name == COMMIT
    with pytest.raises(DownloadError, match="some/model has no revision 'main'"):
        resolve_flux("some/model@main").locate_complete("vae")


def test_resolving_and_checking_send_no_requests(server: Hub) -> None:
    assert resolve_flux("dev").faults("transformer", "vae") == []
    assert server.requests == []


def test_the_size_and_the_free_space_are_reported_before_the_download(server: Hub, tmp_path: Path) -> None:
    reported: list[tuple[Event, int]] = []
    size = len(server.files[WEIGHTS])
    hub.fetch("some/model", None, ["vae"], lambda event: reported.append((event, len(server.downloads()))))
    first, downloads_then = reported[0]
    assert downloads_then == 0
    assert isinstance(first, Downloading)
    assert (first.repository, first.done_bytes, first.total_bytes) == ("some/model", 0, size)
    assert first.free_bytes > size
    assert first.folder.startswith(str(tmp_path / "hub"))
    last = reported[-1][0]
    assert isinstance(last, Downloading)
    assert last.done_bytes == size


def test_a_disk_without_enough_space_is_refused_with_both_sizes(
    server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 123_456))
    with pytest.raises(DownloadError) as caught:
        resolve_flux("some/model").locate("vae")
    for words in ("some/model needs 0.7 MB more", "only 0.1 MB are free", "HF_HOME"):
        assert words in str(caught.value)
    assert server.downloads() == []


def test_a_broken_connection_resumes_where_it_broke(server: Hub) -> None:
    server.cuts = [100_000, 200_000]
    folder = hub.fetch("some/model", None, ["vae"])
    assert (folder / WEIGHTS).read_bytes() == server.files[WEIGHTS]
    assert [span for _, span in server.downloads()] == ["bytes=0-", "bytes=100000-", "bytes=300000-"]


def test_an_interrupted_download_resumes_in_the_next_run(server: Hub, tmp_path: Path) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, Downloading) and event.done_bytes:
            raise KeyboardInterrupt

    server.cuts = [100_000]
    with pytest.raises(KeyboardInterrupt):
        hub.fetch("some/model", None, ["vae"], interrupt)
    held = partial(tmp_path).stat().st_size
    assert 0 < held <= 100_000
    server.requests.clear()
    reported: list[Event] = []
    folder = hub.fetch("some/model", None, ["vae"], reported.append)
    assert server.downloads() == [(WEIGHTS, f"bytes={held}-")]
    assert (folder / WEIGHTS).read_bytes() == server.files[WEIGHTS]
    assert isinstance(reported[0], Downloading)
    assert reported[0].done_bytes == held
    assert not list(tmp_path.glob("hub/**/*.partial"))


def test_a_server_without_byte_ranges_sends_the_whole_file_again(server: Hub, tmp_path: Path) -> None:
    server.ranges, server.cuts = False, [100_000]
    folder = hub.fetch("some/model", None, ["vae"])
    assert (folder / WEIGHTS).read_bytes() == server.files[WEIGHTS]


def test_a_download_that_makes_no_progress_is_given_up(server: Hub) -> None:
    server.cuts = [1000] + [0] * 20
    with pytest.raises(DownloadError, match="cannot be reached"):
        hub.fetch("some/model", None, ["vae"])
    assert len(server.downloads()) == 1 + download.ATTEMPTS


def test_a_file_that_arrives_damaged_is_not_kept(server: Hub, tmp_path: Path) -> None:
    server.cuts = [1000] + [0] * 20
    with pytest.raises(httpx.TransportError):
        fetch_blobs("some/model", None, VAE)
    partial(tmp_path).write_bytes(b"x" * 1000)
    server.cuts = []
    with pytest.raises(DownloadError, match=f"{WEIGHTS} of some/model arrived damaged"):
        fetch_blobs("some/model", None, VAE)
    fetch_blobs("some/model", None, VAE)
    assert not list(tmp_path.glob("hub/**/*.partial"))


def test_huggingface_hub_itself_still_restarts_downloads(server: Hub) -> None:
    """Why `download` exists: once this fails, huggingface_hub resumes files and `download` can be removed."""
    import huggingface_hub

    server.cuts = [100_000] + [0] * 20
    with pytest.raises(httpx.HTTPError):
        huggingface_hub.hf_hub_download("some/model", WEIGHTS)
    server.cuts = []
    server.requests.clear()
    huggingface_hub.hf_hub_download("some/model", WEIGHTS)
    assert server.downloads() == [(WEIGHTS, None)]


def test_a_gated_model_names_the_page_and_the_login_command(server: Hub) -> None:
    server.gated = True
    with pytest.raises(DownloadError) as caught:
        resolve_flux("some/model").locate("vae")
    for words in ("some/model is gated", "https://huggingface.co/some/model", "`hf auth login`"):
        assert words in str(caught.value)


def test_a_repository_that_does_not_exist_is_named(server: Hub) -> None:
    server.missing = {"some/modle"}
    with pytest.raises(DownloadError, match=r"There is no repository some/modle on .* Check the spelling"):
        resolve_flux("some/modle").locate("vae")


def test_a_repository_that_lacks_the_part_is_named(server: Hub) -> None:
    server.files = {name: content for name, content in server.files.items() if not name.startswith("vae/")}
    with pytest.raises(DownloadError, match="some/model has no vae: it is not a FLUX"):
        resolve_flux("some/model").locate("vae")
    resolve_flux("some/model").locate("scheduler")
    with pytest.raises(DownloadError, match=r"some/model is incomplete.*no folder 'vae'"):
        resolve_flux("some/model").locate("vae")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.GatedRepoError("gated", response=RESPONSE), ["is gated"]),
        (errors.LocalEntryNotFoundError("nothing"), ["cannot be reached", "local folder"]),
        (errors.OfflineModeIsEnabled("offline"), ["cannot be reached"]),
        (httpx.ConnectError("no route"), ["cannot be reached"]),
        (OSError(28, "No space left on device"), ["No space left on device", "Run again to resume"]),
    ],
)
def test_whatever_goes_wrong_says_what_to_do(
    server: Hub, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: list[str]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(hub, "fetch_blobs", fail)
    with pytest.raises(DownloadError) as caught:
        resolve_flux("dev").locate("vae")
    for words in ["black-forest-labs/FLUX.1-dev", *expected]:
        assert words in str(caught.value)


@pytest.mark.parametrize(("repo", "shifts"), [("a/flux-schnell-4bit", False), ("a/flux-dev-4bit", True)])
def test_without_a_scheduler_the_repositorys_name_decides(server: Hub, repo: str, shifts: bool) -> None:
    server.files = {name: text for name, text in server.files.items() if not name.startswith("scheduler/")}
    assert shifts_sigmas(Checkpoint(repo, repo=repo)) is shifts


def test_a_cached_transformer_overrides_the_repositorys_name(server: Hub) -> None:
    server.files = {name: text for name, text in server.files.items() if not name.startswith("scheduler/")}
    guided = Checkpoint("a/not-schnell", repo="a/not-schnell")
    assert not shifts_sigmas(guided)
    guided.locate("transformer")
    assert shifts_sigmas(guided)


@pytest.fixture
def cached(small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache as huggingface_hub lays it out, with `org/name` at one commit, and no network."""
    repository = tmp_path / "hub" / "models--org--name"
    for source in (path for path in small_folder.rglob("*") if path.is_file()):
        name = source.relative_to(small_folder)
        blob = repository / "blobs" / f"blob-of-{name.as_posix().replace('/', '-')}"
        link = repository / "snapshots" / COMMIT / name
        for place in (blob, link):
            place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, blob)
        link.symlink_to(blob)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(httpx.Client, "send", refuse)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return repository


@pytest.mark.parametrize("name", ["org/name", f"org/name@{COMMIT}"])
def test_a_cached_model_loads_without_the_network(cached: Path, name: str) -> None:
    from run_graph.runtime.models.loading import load_component

    flux, redux = resolve_flux(name), resolve_redux(name)
    assert load_component(flux, "text_encoder").nbytes > 0
    assert load_component(redux, "image_embedder").nbytes > 0
    assert (shifts_sigmas(flux), max_text_tokens(flux)) == (True, 16)


def test_offline_missing_parts_are_named_and_the_network_is_not_used(cached: Path) -> None:
    (cached / "snapshots" / COMMIT / WEIGHTS).unlink()
    with hub.offline(), pytest.raises(DownloadError) as caught:
        resolve_flux("org/name").locate("vae")
    for words in ("vae of org/name", "--offline or HF_HUB_OFFLINE"):
        assert words in str(caught.value)
    with hub.offline(), pytest.raises(DownloadError, match="of some/model at revision v2 is not in"):
        resolve_flux("some/model@v2").locate("vae")


def test_offline_mode_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with hub.offline(False):
        assert not hub.is_offline()
    with hub.offline():
        assert hub.is_offline()
        with hub.offline(False):
            assert hub.is_offline()
    assert not hub.is_offline()
