"""What a server is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

MEGABYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """What clients may ask for at most.

    Attributes
    ----------
    body : int
        Bytes of a request, uploads included.
    pending : int
        Prompts that wait.
    history : int
        Finished prompts that are remembered; the oldest are forgotten first.
    """

    body: int = 100 * MEGABYTE
    pending: int = 10_000
    history: int = 10_000


@dataclass(frozen=True)
class ServerSettings:
    """Where a server listens, which folders it uses, and whom it answers.

    Attributes
    ----------
    listen, port
        The address. Port 0: any that is free.
    input, output, user : Path
        Uploads; results; the queue, settings and saved workflows.
    models : tuple of Path
        Folders like ComfyUI's ``models``, beside those that the user's settings name.
    frontend : bool
        Whether the editor is served, if it is installed.
    token : str, optional
        What clients must send. None: anybody who reaches the address is answered.
    allowed_hosts : tuple of str
        Names, beside the loopback's and the address itself, under which the server may be called.
    allow_downloads : bool
        Whether a prompt may have any repository downloaded; otherwise only the models that have an alias.
    memory_limit, low_ram, cache_dir, no_cache
        As for a run on the command line.
    """

    listen: str = "127.0.0.1"
    port: int = 8188
    input: Path = Path("input")
    output: Path = Path("output")
    user: Path = Path("user")
    models: tuple[Path, ...] = ()
    frontend: bool = True
    token: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = ()
    allow_downloads: bool = False
    memory_limit: int | None = None
    low_ram: bool = False
    cache_dir: str | None = None
    no_cache: bool = False
    limits: Limits = Limits()
