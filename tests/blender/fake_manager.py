"""A small Flamenco manager: as much of its HTTP API, version 3, as a submitter needs."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

JOB = "/api/v3/jobs/6a0f2ed0-3f0c-4d4b-8d3c-1f1f7a2b9a10"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        known = {
            "/api/v3/jobs/type/stylerig-render": {"name": "stylerig-render", "settings": [{"key": key} for key in server.keys]},
            JOB: {"id": JOB.rpartition("/")[2], "status": server.status},
            f"{JOB}/tasks": {"tasks": [{"status": status} for status in server.tasks]},
        }
        if self.path in known and (server.keys or "type" not in self.path):
            self.answer(200, known[self.path])
        else:
            self.answer(404, {"code": 404, "message": "not found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posted.append((self.path, body))
        if self.server.refusal:
            self.answer(*self.server.refusal)
        elif self.path == "/api/v3/jobs":
            self.answer(200, {**body, "id": JOB.rpartition("/")[2], "status": "under-construction"})
        else:
            self.answer(204, None)

    def answer(self, status: int, value: object) -> None:
        content = b"" if value is None else value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments) -> None:
        """Nothing: tests print their own."""


class FakeManager(ThreadingHTTPServer):
    """In a thread of this process, as a context manager. ``posted``: (path, body) so far."""

    daemon_threads = True

    def __init__(self, keys: list[str]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.keys = keys  # of the job type's settings; none: it is not installed
        self.status, self.tasks = "active", ["completed", "active", "queued"]
        self.posted: list[tuple[str, dict]] = []
        self.refusal: tuple[int, object] | None = None
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> FakeManager:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_exception) -> None:
        self.shutdown()
        self.server_close()
