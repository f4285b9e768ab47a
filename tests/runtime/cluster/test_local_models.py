"""A client's models on a worker: the same content, perhaps in another place."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from run_graph.runtime.cluster.local_models import with_local_models, with_pinned_models
from run_graph.runtime.errors import CheckpointError, LoraError
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.handles import Flux, Vae
from run_graph.runtime.models.lora_files import Lora, lora_digest


@pytest.fixture
def client(small_folder: Path, tmp_path: Path) -> tuple[Flux, dict[Checkpoint, str], Path]:
    """A handle of a client, whose home folder holds the model; what its files are; that home folder."""
    home = tmp_path / "client"
    folder = home / "models" / "small"
    shutil.copytree(small_folder, folder)
    checkpoint = Checkpoint("~/models/small", folder=folder)
    return Flux(checkpoint), {checkpoint: checkpoint.identity}, home


def test_a_model_in_the_same_place_is_the_same_handle(
    client: tuple[Flux, dict[Checkpoint, str], Path],
) -> None:
    handle, identities, home = client
    found = with_local_models({"flux": handle, "steps": 4}, identities, home)
    assert found == {"flux": handle, "steps": 4}


def test_a_model_in_the_workers_own_home(
    client: tuple[Flux, dict[Checkpoint, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, identities, home = client
    monkeypatch.setenv("HOME", str(tmp_path / "worker"))
    shutil.move(home, tmp_path / "worker")
    (tmp_path / "worker" / "models" / "small" / "model_index.json").touch()  # dates do not matter
    found = with_local_models({"flux": handle}, identities, home)["flux"].checkpoint
    assert found.folder == tmp_path / "worker" / "models" / "small"
    assert found.name == "~/models/small"


def test_a_model_that_is_missing_or_another(
    client: tuple[Flux, dict[Checkpoint, str], Path],
) -> None:
    handle, identities, home = client
    assert handle.checkpoint.folder is not None
    with pytest.raises(CheckpointError, match=r"'~/models/small' on this worker has other files"):
        with_local_models({"flux": handle}, {handle.checkpoint: "folder:0"}, home)
    shutil.rmtree(handle.checkpoint.folder)
    with pytest.raises(CheckpointError, match=r"is not on this worker\. Copy it there"):
        with_local_models({"flux": handle}, identities, home)


def test_a_lora_by_its_name_in_the_library(
    client: tuple[Flux, dict[Checkpoint, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, identities, home = client
    file = tmp_path / "ink.safetensors"
    file.write_bytes(b"lora")
    lora = Lora(lora_digest(file), 1.0, False, "ink", tmp_path / "elsewhere" / "ink.safetensors")
    given = {"flux": replace(handle, loras=(lora,))}
    with pytest.raises(LoraError, match="is not on this worker"):
        with_local_models(given, identities, home)
    monkeypatch.setenv("LORA_LIBRARY_PATH", str(tmp_path))
    assert with_local_models(given, identities, home)["flux"].loras[0].path == file
    file.write_bytes(b"other")
    with pytest.raises(LoraError, match="has another content"):
        with_local_models(given, identities, home)


def test_a_branch_becomes_the_commit_that_the_client_has(monkeypatch: pytest.MonkeyPatch) -> None:
    from run_graph.runtime.models import checkpoints

    monkeypatch.setattr(checkpoints, "commit_of", lambda repo, revision: f"{revision} of {repo}")
    branch = Checkpoint("a/b", repo="a/b", revision="main")
    commit = Checkpoint("a/b", repo="a/b", revision="0" * 40)
    found = with_pinned_models(
        {"x": Vae(branch), "y": Vae(commit), "z": Vae(Checkpoint("tiny", rest=branch))}
    )
    assert found["x"].checkpoint.revision == "main of a/b"
    assert found["y"].checkpoint is commit
    assert found["z"].checkpoint.rest.revision == "main of a/b"
