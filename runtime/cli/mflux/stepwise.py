"""A picture of every step, from the previews in the run's events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from run_graph.graph.workflow import Workflow
from run_graph.runtime.cli.mflux.pictures import write_new
from run_graph.runtime.events import Event, NodeFinished, NodeProgress, RunFinished
from run_graph.runtime.files.atomic import write_atomically
from run_graph.runtime.files.outputs import require_writable
from run_graph.runtime.models.resolution import resolve_flux

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from run_graph.runtime.models.loading import LoadedComponent
    from run_graph.runtime.models.store import ModelStore

    Pixels = npt.NDArray[np.float32]


@dataclass
class _Sampling:
    """The inputs of a FluxSample node, and its pictures so far, each (height, width, 3)."""

    seed: int
    width: int
    height: int
    pictures: list[Pixels] = field(default_factory=list)


class StepwisePictures:
    """A listener that decodes the latents of each step and writes them as mflux's StepwiseHandler does.

    The files are called ``seed_S_stepKofN.png``. ``seed_S_composite.png`` shows all steps side by side; it is
    written when sampling ends or is interrupted.

    Parameters
    ----------
    workflow : Workflow
        As `runtime.formats.mflux.workflow` builds it, with one LoadFlux node, ``flux``.
    folder : Path
        Created if missing.
    store : ModelStore
        The store of the session, which provides the autoencoder.

    Raises
    ------
    SaveError
        If nothing can be written there.
    """

    def __init__(self, workflow: Workflow, folder: Path, store: ModelStore) -> None:
        self._flux = workflow.nodes["flux"].inputs
        self._samplings = {
            node_id: _Sampling(spec.inputs["seed"], spec.inputs["width"], spec.inputs["height"])
            for node_id, spec in workflow.nodes.items()
            if spec.class_type == "FluxSample"
        }
        self._folder = folder.expanduser()
        require_writable(self._folder, "--stepwise-image-output-dir")
        self._store = store
        self._vae: LoadedComponent | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, NodeProgress) and event.preview is not None and event.node_id in self._samplings:
            self._write_step(self._samplings[event.node_id], event)
        elif isinstance(event, NodeFinished) and event.node_id in self._samplings:
            self._write_composite(self._samplings.pop(event.node_id))
        elif isinstance(event, RunFinished):
            for sampling in self._samplings.values():
                self._write_composite(sampling)

    def _write_step(self, sampling: _Sampling, event: NodeProgress) -> None:
        from run_graph.runtime.images.writing import to_png

        pixels = self._decoded(sampling, event.preview)
        sampling.pictures.append(pixels)
        name = f"seed_{sampling.seed}_step{event.value}of{event.maximum}.png"
        write_new(self._folder / name, to_png(pixels))

    def _write_composite(self, sampling: _Sampling) -> None:
        import numpy as np

        from run_graph.runtime.images.writing import to_png

        if sampling.pictures:
            strip = np.concatenate(sampling.pictures, axis=1)
            path = self._folder / f"seed_{sampling.seed}_composite.png"
            write_atomically(path, to_png(strip), overwrite=True)

    def _decoded(self, sampling: _Sampling, packed: Any) -> Pixels:
        import numpy as np

        from run_graph.runtime.networks.vae import decode
        from run_graph.runtime.sampling.latents import unpack

        vae = self._autoencoder()
        latents = unpack(packed, sampling.width, sampling.height)
        pixels: Pixels = np.array(decode(vae.module, vae.config, latents))[0]
        return pixels

    def _autoencoder(self) -> LoadedComponent:
        """Kept until the run ends, so that it is read only once even if the store may hold little."""
        if self._vae is None:
            self._vae = self._store.get(resolve_flux(self._flux["model"]), "vae", _bits(self._flux))
        return self._vae


def _bits(flux: Mapping[str, Any]) -> int | None:
    return None if flux["quantize"] == "none" else int(flux["quantize"])
