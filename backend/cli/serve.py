"""serve: the HTTP service on a loopback port.

When ready, one line of JSON goes to stdout: {"event": "ready", "port", "pid", "version", "models"}. The token
comes from the environment variable STYLERIG_TOKEN (an argument would show in the process list); without
it one is made and stands in that line. Logs go to stderr, or to a file that does not grow without end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from backend import __version__
from models.errors import StyleRigError

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

TOKEN_VARIABLE = "STYLERIG_TOKEN"
HOST = "127.0.0.1"
STDIN = 0  # file descriptor
OWN_SCORE = Path("/proc/self/oom_score_adj")  # Linux's: who is ended first when memory runs out
FIRST_TO_GO = "1000"
SHORTEST_TOKEN = 16  # characters
SECONDS_TO_STOP = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when standard input closes")
    parser.add_argument("--log", type=Path, metavar="FILE", help="where to log, at most some MiB (default: standard error)")


def run(arguments: argparse.Namespace) -> int:
    from backend.server.app import create_app
    from backend.server.inference import rig_library
    from backend.server.log import start_logging
    from models.devices import choose_device

    go_before_others()
    start_logging(arguments.log)
    given = os.environ.pop(TOKEN_VARIABLE, "")
    token = given or secrets.token_urlsafe(32)
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise StyleRigError(
            f"The token in {TOKEN_VARIABLE} cannot be used.",
            f"Use at least {SHORTEST_TOKEN} printable ASCII characters, or leave it out to have one made.",
            code="bad_token",
        )
    listener = listen(arguments.port)
    library = rig_library(arguments.rig_loader, choose_device(arguments.device))
    app = create_app(library, token)
    server = server_of(app, ready_line(listener.getsockname()[1], list(library.rigs), "" if given else token))
    if arguments.exit_with_stdin:
        threading.Thread(target=stop_with_stdin, args=(server,), daemon=True).start()
    server.run(sockets=[listener])
    return 0


def go_before_others() -> None:
    """Have the system end this process first when memory runs out: it can be started again, a host's unsaved work cannot."""
    with contextlib.suppress(OSError):  # another system, or one that does not allow it
        OWN_SCORE.write_text(FIRST_TO_GO)


def listen(port: int) -> socket.socket:
    """A listening socket on the loopback interface. Raises StyleRigError when the port is taken."""
    if not 0 <= port <= 65535:
        raise StyleRigError(f"There is no port {port}.", "Choose 0 (any free one) to 65535.", code="bad_port")
    # Named, not 0: asyncio looks for TCP before it switches Nagle's algorithm off. With it, the second half of an
    # answer on a connection that is kept waits 40 ms for the first half's acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere the option would let two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise StyleRigError(
            f"Port {port} cannot be used: {error.strerror}.", "Choose another, or 0 for a free one.", code="port_taken"
        ) from error
    return listener


def ready_line(port: int, models: list[str], made_token: str) -> str:
    line = {"event": "ready", "port": port, "pid": os.getpid(), "version": __version__, "models": models}
    return json.dumps({**line, "token": made_token} if made_token else line)


def server_of(app: FastAPI, ready_line: str) -> uvicorn.Server:
    """A server that prints ``ready_line`` as soon as it accepts connections."""
    import uvicorn

    from backend.server.connections import MAX_HEAD, BoundedProtocol

    class AnnouncingServer(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            print(ready_line, flush=True)

    config = uvicorn.Config(
        app, http=BoundedProtocol, h11_max_incomplete_event_size=MAX_HEAD, log_config=None, log_level="warning",
        access_log=False, server_header=False, ws="none", lifespan="on", timeout_graceful_shutdown=SECONDS_TO_STOP,
    )  # fmt: skip
    return AnnouncingServer(config)


def stop_with_stdin(server: uvicorn.Server) -> None:
    """Wait until stdin closes, then stop the server: its parent is gone and nobody would stop it."""
    # Not through sys.stdin: a thread that holds its lock would break the interpreter's exit.
    with contextlib.suppress(OSError):
        while os.read(STDIN, 4096):
            pass
    server.should_exit = True
    # A model at work or an open connection must not keep the process alive.
    timer = threading.Timer(SECONDS_TO_STOP, os._exit, (0,))
    timer.daemon = True
    timer.start()
