"""A LoRA's name resolves to its file: beside the workflow, in the user's library, or in a Hub cache."""

from pathlib import Path

import pytest

from run_graph.runtime.errors import DownloadError, LoraError
from run_graph.runtime.files.inputs import find_input
from run_graph.runtime.models.lora_files import LoraSource, lora_digest, resolve_lora

COMMIT = "0" * 40


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def resolve(name: str, folder: Path) -> LoraSource:
    return resolve_lora(name, lambda text: find_input(text, [folder]))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """mflux's own cache, which contains one repository with two LoRAs; there is no network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("mflux.cli.defaults.defaults.MFLUX_LORA_CACHE_DIR", tmp_path / "loras")
    repository = tmp_path / "loras" / "models--maker--styles"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    snapshot = repository / "snapshots" / COMMIT
    (snapshot / "more").mkdir(parents=True)
    (snapshot / "ink.safetensors").touch()
    (snapshot / "more" / "oil.safetensors").touch()
    return snapshot


def test_a_path_is_searched_in_the_input_folders(here: Path) -> None:
    (here / "loras").mkdir()
    (here / "loras" / "ink.safetensors").touch()
    assert resolve("loras/ink.safetensors", here).path == here / "loras" / "ink.safetensors"
    assert resolve(str(here / "loras" / "ink.safetensors"), Path("/")).locate().name == "ink.safetensors"


@pytest.mark.parametrize("name", ["ink", "ink.safetensors"])
def test_a_bare_name_is_searched_in_the_library_and_the_first_folder_wins(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for folder in ("first/deep", "second"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "ink.safetensors").touch()
    monkeypatch.setenv("LORA_LIBRARY_PATH", f"{tmp_path / 'first'}:{tmp_path / 'second'}")
    assert resolve(name, here).path == tmp_path / "first" / "deep" / "ink.safetensors"


@pytest.mark.parametrize("name", ["flux/ink.safetensors", "flux\\ink.safetensors"])
def test_comfyuis_names_are_searched_in_the_library_with_their_folder(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for folder in ("library", "library/deep/flux"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "ink.safetensors").touch()
    monkeypatch.setenv("LORA_LIBRARY_PATH", str(tmp_path / "library"))
    assert resolve(name, here).path == tmp_path / "library" / "deep" / "flux" / "ink.safetensors"
    with pytest.raises(LoraError):
        resolve("deep/../flux/ink.safetensors", here)


@pytest.mark.parametrize(
    ("name", "repo", "file"),
    [
        ("maker/styles", "maker/styles", None),
        ("maker/styles:ink.safetensors", "maker/styles", "ink.safetensors"),
        ("maker/styles:more/oil.safetensors", "maker/styles", "more/oil.safetensors"),
        ("hf:maker/styles/ink.safetensors", "maker/styles", "ink.safetensors"),
        ("hf:maker/styles:ink", "maker/styles", "ink"),
    ],
)
def test_repositories_are_spelled_as_in_mflux(here: Path, name: str, repo: str, file: str | None) -> None:
    assert resolve(name, here) == LoraSource(name, repo=repo, file=file)


@pytest.mark.parametrize(
    "name", ["ink.safetensors", "./ink", "styles/ink.safetensors", "/nowhere/ink", "ink"]
)
def test_a_missing_file_is_named(here: Path, name: str) -> None:
    with pytest.raises(LoraError) as caught:
        resolve(name, here)
    assert name.removeprefix("./") in str(caught.value)
    assert "org/name:file" in str(caught.value)


def test_a_folder_or_an_empty_name_is_refused(here: Path) -> None:
    with pytest.raises(LoraError, match="no file"):
        resolve(str(here), here)
    with pytest.raises(LoraError, match="No LoRA is given"):
        resolve(" ", here)


@pytest.mark.parametrize("name", ["maker/styles:ink", "maker/styles:ink.safetensors"])
def test_a_file_in_mfluxs_cache_needs_no_network(here: Path, cache: Path, name: str) -> None:
    assert resolve(name, here).locate() == cache / "ink.safetensors"


def test_a_file_in_a_subfolder_is_found_by_name_or_path(here: Path, cache: Path) -> None:
    for name in ("maker/styles:oil", "hf:maker/styles/oil.safetensors", "maker/styles:more/oil.safetensors"):
        assert resolve(name, here).locate() == cache / "more" / "oil.safetensors"


@pytest.mark.parametrize("name", ["maker/styles", "maker/styles:chalk", "maker/other"])
def test_offline_a_missing_or_ambiguous_file_is_refused(here: Path, cache: Path, name: str) -> None:
    with pytest.raises(DownloadError, match="the network must not be used") as caught:
        resolve(name, here).locate()
    assert name.partition(":")[0] in str(caught.value)


def test_the_digest_depends_on_the_contents_alone(here: Path) -> None:
    first, second = here / "a", here / "b"
    first.write_bytes(b"one")
    second.write_bytes(b"one")
    assert lora_digest(first) == lora_digest(second)
    second.write_bytes(b"another")
    assert lora_digest(first) != lora_digest(second)
