"""The socket that a server listens on."""

import asyncio
import socket

import pytest

pytest.importorskip("starlette", reason="the extra 'serve' is not installed")
from run_graph.runtime.server.settings import ServerSettings
from run_graph.runtime.server.start import CannotListenError, listening_socket


def test_answers_are_not_held_back_to_be_sent_together() -> None:
    """Nagle's algorithm and delayed acknowledgements together cost 40 ms an answer."""
    nodelay: list[int] = []

    async def talk(listener: socket.socket) -> None:
        connected = asyncio.Event()

        def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            sock = writer.get_extra_info("socket")
            nodelay.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()
            connected.set()

        server = await asyncio.start_server(note, sock=listener)
        async with server:
            _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            await connected.wait()
            writer.close()

    with listening_socket(ServerSettings(port=0)) as listener:
        asyncio.run(talk(listener))
    assert nodelay
    assert all(nodelay)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(CannotListenError, match="choose another --port or --listen"):
        listening_socket(ServerSettings(listen="203.0.113.1", port=0))
