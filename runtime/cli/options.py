"""The options of ``run-graph`` with their types. The parser makes them once; nothing changes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class NodeOptions:
    """Which nodes run and with which inputs, as typed.

    Attributes
    ----------
    settings : tuple of str
        ``NODE.INPUT=VALUE`` or ``INPUT=VALUE`` of each ``--set``.
    sweeps : tuple of str
        ``NODE.INPUT=V1,V2,...`` of each ``--sweep``; the node may be missing here too.
    zipped : bool
        Whether the values of the sweeps are paired (``--zip``) rather than combined.
    targets : tuple of str
        The node of each ``--target``; empty for all output nodes.
    """

    settings: tuple[str, ...]
    sweeps: tuple[str, ...]
    zipped: bool
    targets: tuple[str, ...]


@dataclass(frozen=True)
class TrialOptions:
    """How a workflow is made quick to try, as :class:`runtime.formats.trial.Trial` takes it."""

    model: str | None
    max_pixels: int | None


@dataclass(frozen=True)
class MemoryOptions:
    """How much memory models may use; ``memory_limit`` is in bytes, None for what the machine can spare."""

    memory_limit: int | None
    low_ram: bool
    memory_report: bool


@dataclass(frozen=True)
class ClusterOptions:
    """Which machines compute; neither is set if this process does.

    Attributes
    ----------
    cluster : str, optional
        The address of a dask scheduler.
    workers : int, optional
        How many processes of this machine.
    any_device : bool
        Whether the cluster's workers may have other devices than this machine.
    """

    cluster: str | None
    workers: int | None
    any_device: bool


@dataclass(frozen=True)
class ServerOptions:
    """The server that runs the workflow, and its token; None for this process."""

    server: str | None
    token: str | None


@dataclass(frozen=True)
class PermissionOptions:
    """What a workflow that came in a picture may do beyond its bounds (:mod:`runtime.cli.consent`).

    Attributes
    ----------
    allow_read : tuple of Path
        Further folders that it may read.
    allow_download : bool
        Whether it may download models.
    """

    allow_read: tuple[Path, ...]
    allow_download: bool


@dataclass(frozen=True)
class CacheOptions:
    """Which cache to use, as :func:`runtime.cache.open.chosen_cache` takes it.

    Attributes
    ----------
    no_cache : bool
    cache_dir : str, optional
        The folder, as typed; None for the default.
    """

    no_cache: bool
    cache_dir: str | None


@dataclass(frozen=True)
class ReportingOptions:
    """How much is printed, and whether as JSON."""

    quiet: bool
    json: bool
    verbose: bool
    traceback: bool
    strict: bool


@dataclass(frozen=True)
class ActionOptions:
    """What to do instead of running the workflow; all unset if it is to run.

    Attributes
    ----------
    validate : bool
    check : bool
        Give a verdict on each file.
    inputs : bool
        List what can be set.
    draw : Path, optional
        The drawing; ``-`` for standard output, in the format ``draw_format`` (default: txt).
    draw_format : str, optional
    convert : Path, optional
        The file to write in API format.
    export_ui : Path, optional
        The file to write in the format of ComfyUI's editor.
    export_comfyui : Path, optional
        The same, with ComfyUI's nodes in place of our own.
    example : tuple of str, optional
        Empty to list the examples; else the name of one, and perhaps the folder for its files.
    save_model : Path, optional
        The folder to write models into.
    cache_info, cache_clear : bool
    list_models : bool
        List the model files in the user's folders.
    doctor : bool
        Examine this machine.
    list_nodes : bool
    describe : str, optional
        A node class.
    schema : bool
    """

    validate: bool
    check: bool
    inputs: bool
    draw: Path | None
    draw_format: str | None
    convert: Path | None
    export_ui: Path | None
    export_comfyui: Path | None
    example: tuple[str, ...] | None
    save_model: Path | None
    cache_info: bool
    cache_clear: bool
    list_models: bool
    doctor: bool
    list_nodes: bool
    describe: str | None
    schema: bool

    @property
    def needs_workflow(self) -> bool:
        """Whether a workflow is asked for: to run it, or to say something about it."""
        return not (
            self.concerns_cache
            or self.concerns_nodes
            or self.list_models
            or self.doctor
            or self.save_model
            or self.example is not None
        )

    @property
    def converts(self) -> tuple[Path, ...]:
        """The files to write the workflow to, in other formats."""
        return tuple(path for path in (self.convert, self.export_ui, self.export_comfyui) if path is not None)

    @property
    def concerns_cache(self) -> bool:
        """Whether the action is about the cache."""
        return self.cache_info or self.cache_clear

    @property
    def concerns_nodes(self) -> bool:
        """Whether the action is about node classes."""
        return self.list_nodes or self.schema or self.describe is not None


@dataclass(frozen=True)
class Options:
    """The command line of ``run-graph``.

    Attributes
    ----------
    files : tuple of str
        The workflow files, as typed; ``-`` for standard input.
    node_files : tuple of str
        The Python file of each ``--nodes``.
    nodes : NodeOptions
    trial : TrialOptions
    output : Path
        The output folder.
    contact_sheet : Path, optional
    models_dirs : tuple of Path
        The folder of each ``--models-dir``.
    offline : bool
        Whether the network is off limits.
    permissions : PermissionOptions
    memory : MemoryOptions
    machines : ClusterOptions
    remote : ServerOptions
    cache : CacheOptions
    reporting : ReportingOptions
    actions : ActionOptions
    """

    files: tuple[str, ...]
    node_files: tuple[str, ...]
    nodes: NodeOptions
    trial: TrialOptions
    output: Path
    contact_sheet: Path | None
    models_dirs: tuple[Path, ...]
    offline: bool
    permissions: PermissionOptions
    memory: MemoryOptions
    machines: ClusterOptions
    remote: ServerOptions
    cache: CacheOptions
    reporting: ReportingOptions
    actions: ActionOptions
