"""What the server is, has and can do."""

from __future__ import annotations

import os
import platform
import sys
from functools import cache

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from run_graph.runtime.device import machine_memory
from run_graph.runtime.server.model_names import MODEL_KINDS, known_models, model_folders
from run_graph.runtime.server.object_info import additions, served_info, served_node
from run_graph.runtime.server.replies import Refused, done, parsed_object, reply
from run_graph.runtime.server.routes.frontend import EXTENSION, served_folder
from run_graph.runtime.server.state import COMFYUI_VERSION, ServerState, features
from run_graph.runtime.versions import versions

# Asked for by the editor; what they would answer does not exist here.
_EMPTY_OBJECTS = (
    "/i18n",
    "/node_replacements",
    "/global_subgraphs",
    "/global_subgraphs/{name}",
    "/workflow_templates",
)


def routes(server: ServerState) -> list[Route]:
    """The routes, without their prefix."""
    info, models = _Info(server), _Models()
    return [
        Route("/object_info", info.all_nodes, methods=["GET"]),
        Route("/object_info/{class_type:path}", info.one_node, methods=["GET"]),
        Route("/run_graph/additions", info.additions, methods=["GET"]),
        Route("/system_stats", info.system_stats, methods=["GET"]),
        Route("/features", info.features, methods=["GET"]),
        Route("/users", info.users, methods=["GET"]),
        Route("/extensions", info.extensions, methods=["GET"]),
        Route("/free", info.free, methods=["POST"]),
        Route("/embeddings", info.nothing, methods=["GET"]),
        Route("/models", models.folders, methods=["GET"]),
        Route("/models/{folder}", models.files, methods=["GET"]),
        Route("/experiment/models", models.described_folders, methods=["GET"]),
        Route("/experiment/models/{folder}", models.described_files, methods=["GET"]),
        Route("/view_metadata/{folder}", info.no_metadata, methods=["GET"]),
        *(Route(path, info.empty, methods=["GET"]) for path in _EMPTY_OBJECTS),
    ]


def internal_routes(server: ServerState) -> list[Route]:
    """The routes under ``/internal``, which the editor alone uses."""
    inside = _Internal(server)
    return [
        Route("/logs", inside.text, methods=["GET"]),
        Route("/logs/raw", inside.raw, methods=["GET"]),
        Route("/logs/subscribe", inside.subscribe, methods=["PATCH"]),
        Route("/folder_paths", inside.folder_paths, methods=["GET"]),
        Route("/files/{kind}", inside.files, methods=["GET"]),
    ]


class _Info:
    def __init__(self, server: ServerState) -> None:
        self._server = server

    def all_nodes(self, request: Request) -> Response:
        names = cache(self._server.folders.files)  # each folder is read once for one answer
        return reply(served_info(self._server.registry, names))

    def one_node(self, request: Request) -> Response:
        name = request.path_params["class_type"]
        if name not in self._server.registry:
            return reply({})
        return reply({name: served_node(self._server.registry[name], self._server.folders.files)})

    def system_stats(self, request: Request) -> Response:
        found = versions()
        total, free = machine_memory(), _free_memory()
        system = {
            "os": sys.platform,
            "ram_total": total,
            "ram_free": free,
            "comfyui_version": COMFYUI_VERSION,
            "run_graph_version": found.get("run_graph", found.get("run-graph")),
            "python_version": sys.version,
            "pytorch_version": f"none (mlx {found.get('mlx')})",
            "embedded_python": False,
            "argv": ["run-graph", "serve"],
        }
        device = {
            "name": platform.processor() or platform.machine(),
            "type": "mps" if sys.platform == "darwin" else "cpu",
            "index": 0,
            "vram_total": total,
            "vram_free": free,
            "torch_vram_total": total,
            "torch_vram_free": free,
        }
        return reply({"system": system, "devices": [device]})

    def features(self, request: Request) -> Response:
        return reply(features(self._server.settings))

    def users(self, request: Request) -> Response:
        return reply({"storage": "server", "migrated": True})

    def additions(self, request: Request) -> Response:
        """What ComfyUI's nodes have here beyond ComfyUI's, for our script in the editor."""
        return reply(additions(self._server.registry))

    def extensions(self, request: Request) -> Response:
        """The scripts that the editor loads beside its own."""
        return reply([EXTENSION] if served_folder(self._server) else [])

    def nothing(self, request: Request) -> Response:
        return reply([])

    def empty(self, request: Request) -> Response:
        return reply({})

    def no_metadata(self, request: Request) -> Response:
        raise Refused("not_found", "There is no metadata of this file", status=404)

    async def free(self, request: Request) -> Response:
        """Models leave memory; a run that needs them loads them again. Results stay: they are on the disk."""
        document = parsed_object(await request.body(), optional=True)
        if document.get("unload_models") or document.get("free_memory"):
            self._server.worker.free_models()
        return done()


class _Models:
    def folders(self, request: Request) -> Response:
        return reply(list(MODEL_KINDS))

    def files(self, request: Request) -> Response:
        return reply(known_models(self._known(request)))

    def described_folders(self, request: Request) -> Response:
        return reply([{"name": name, "folders": folders} for name, folders in model_folders().items()])

    def described_files(self, request: Request) -> Response:
        return reply([{"name": name, "pathIndex": 0} for name in known_models(self._known(request))])

    def _known(self, request: Request) -> str:
        name = str(request.path_params["folder"])
        if name not in MODEL_KINDS:
            raise Refused("not_found", "There is no such folder of models", status=404)
        return name


class _Internal:
    def __init__(self, server: ServerState) -> None:
        self._server = server

    def text(self, request: Request) -> Response:
        return reply("".join(f"{each['t']} - {each['m']}" for each in self._server.log.entries()))

    def raw(self, request: Request) -> Response:
        return reply({"entries": self._server.log.entries(), "size": {"cols": 110, "rows": 50}})

    async def subscribe(self, request: Request) -> Response:
        parsed_object(await request.body(), optional=True)
        return done()

    def folder_paths(self, request: Request) -> Response:
        return reply(model_folders())

    def files(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        folder = self._server.folders.kind(kind)
        if folder is None:
            return reply({"error": "the folder is input, output or temp"}, 400)
        try:
            entries = [
                entry for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith(".")
            ]
        except OSError:
            entries = []
        entries.sort(key=lambda entry: -entry.stat().st_mtime)
        return reply([f"{entry.name} [{kind}]" for entry in entries])


def _free_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError):  # macOS does not say
        return machine_memory()
