"""Connections that say nothing, say it slowly or never to the end, or do not listen: each has an end, and others are answered."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from backend.cli.serve import listen, server_of
from backend.server.app import create_app
from backend.server.inference import rig_library
from tests.helpers import fake_rig

SECONDS = 30.0  # within which what is to happen must have happened
HEAD = f"Host: 127.0.0.1:{{port}}\r\nAuthorization: Bearer {fake_rig.TOKEN}\r\nContent-Type: application/json\r\n"
STRANGER = "Host: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
LARGE = {"output": {"size": 2048, "format": "raw"}}  # more than the system keeps for who does not read it


@pytest.fixture
def server(monkeypatch) -> Iterator[SimpleNamespace]:
    """A server in a thread that has no patience."""
    for name, value in {"connections.HEAD_SECONDS": 0.4, "connections.STALL_SECONDS": 0.4, "middleware.BODY_SECONDS": 0.4}.items():
        monkeypatch.setattr(f"backend.server.{name}", value)
    monkeypatch.setattr("backend.server.connections.MAX_CONNECTIONS", 8)
    listener = listen(0)
    running = server_of(create_app(rig_library(fake_rig.load), fake_rig.TOKEN), "ready")
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        until(lambda: running.started)
        yield SimpleNamespace(port=listener.getsockname()[1], connections=running.server_state.connections)
    finally:
        running.should_exit = True
        thread.join(SECONDS)
        listener.close()


def until(condition) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def opened(server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), SECONDS)


def request(server, line: str, head: str = HEAD, body: bytes = b"", length: int | None = None) -> bytes:
    """A request whose head says that its body is ``length`` bytes long."""
    headers = head.format(port=server.port) + f"Content-Length: {len(body) if length is None else length}\r\n"
    return f"{line} HTTP/1.1\r\n{headers}\r\n".encode() + body


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the other side ends the connection."""
    parts = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def answer_of(connection: socket.socket, wanted: int = 200) -> bytes:
    """The body of an answer that must have this status."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    assert answer.status == wanted
    return answer.read()


def still_answers(server) -> None:
    with opened(server) as connection:
        connection.sendall(request(server, "GET /v1/health"))
        assert json.loads(answer_of(connection))["status"] == "ok"


def drip(connection: socket.socket, content: bytes) -> int:
    """Send ``content`` byte by byte until the connection ends; how many went."""
    for count, byte in enumerate(content):
        try:
            connection.sendall(bytes([byte]))
        except OSError:
            return count
        time.sleep(0.02)
    return len(content)


@pytest.mark.parametrize("said", [b"", b"G", b"GET /v1/health HTTP/1.1\r\nHost: "])
def test_a_request_that_does_not_come_is_not_waited_for(server, said):
    with opened(server) as connection:
        connection.sendall(said)
        assert read_to_end(connection) == b""
    still_answers(server)


def test_a_head_byte_by_byte_has_an_end(server):
    with opened(server) as connection:
        assert drip(connection, b"GET /v1/health HTTP/1.1\r\nX: " + 2000 * b"x") < 1000
    still_answers(server)


def test_a_head_without_end_is_refused(server):
    with opened(server) as connection:
        connection.sendall(b"GET /v1/health HTTP/1.1\r\nX: " + (17 << 10) * b"x")
        assert read_to_end(connection).startswith(b"HTTP/1.1 400 ")


def test_a_second_request_has_to_come_as_well(server):
    with opened(server) as connection:
        connection.sendall(request(server, "GET /v1/health"))
        answer_of(connection)
        connection.sendall(b"GET /v1")
        assert read_to_end(connection) == b""


@pytest.mark.parametrize(("head", "status", "code"), [(HEAD, 408, "incomplete"), (STRANGER, 401, "wrong_token")])
def test_a_body_that_never_ends_is_answered_and_ended(server, head, status, code):
    with opened(server) as connection:
        connection.sendall(request(server, "POST /v1/portraits", head, b'{"seed"', length=100))
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 %d " % status) and b"connection: close" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == code
    still_answers(server)


@pytest.mark.parametrize(("head", "status"), [(HEAD, 408), (STRANGER, 401)])
def test_a_body_byte_by_byte_has_an_end(server, head, status):
    with opened(server) as connection:
        line = "POST /v1/portraits HTTP/1.1\r\n" + head.format(port=server.port) + "Transfer-Encoding: chunked\r\n\r\n"
        connection.sendall(line.encode())
        assert drip(connection, 500 * b"1\r\n \r\n") < 1500
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 %d " % status) or answer == b""  # lost where more was sent after it
    still_answers(server)


def test_one_byte_chunks_that_come_in_time_are_a_request(server):
    chunks = b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in b'{"seed": 7}')
    line = "POST /v1/portraits HTTP/1.1\r\n" + HEAD.format(port=server.port) + "Transfer-Encoding: chunked\r\n\r\n"
    with opened(server) as connection:
        connection.sendall(line.encode() + chunks + b"0\r\n\r\n")
        assert json.loads(answer_of(connection))["seed"] == 7


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("chunk", [b"zz\r\n", b"-1\r\n"])
def test_a_chunk_that_is_none_ends_the_connection_and_is_no_fault(server, caplog, method, chunk):
    line = f"{method} /v1/portraits HTTP/1.1\r\n" + HEAD.format(port=server.port) + "Transfer-Encoding: chunked\r\n\r\n"
    with opened(server) as connection:
        connection.sendall(line.encode() + chunk)
        assert read_to_end(connection).startswith(b"HTTP/1.1 400 ")
    still_answers(server)
    assert [record.getMessage() for record in caplog.records] == ["Invalid HTTP request received."]


@pytest.mark.parametrize("waits", [False, True])
def test_an_answer_that_nobody_reads_has_an_end_and_one_that_is_read_slowly_has_not(server, waits):
    with opened(server) as connection:
        connection.sendall(request(server, "POST /v1/portraits", body=b'{"seed": 7}'))
        portrait = json.loads(answer_of(connection))
        body = json.dumps({"portrait": portrait, **LARGE}).encode()
        connection.sendall(request(server, "POST /v1/frames", body=body))
        if not waits:
            until(lambda: not server.connections)
            return
        size = 0
        while size < 2048 * 2048 * 4 * 4:
            part = connection.recv(1 << 20)
            assert part
            size += len(part)
            time.sleep(0.02)


def test_who_says_nothing_for_longest_makes_room_for_others(server, monkeypatch):
    monkeypatch.setattr("backend.server.connections.HEAD_SECONDS", 2 * SECONDS)
    silent = [opened(server) for _ in range(8)]
    try:
        until(lambda: len(server.connections) == 8)
        still_answers(server)
        assert read_to_end(silent[0]) == b"" and len(server.connections) <= 8
    finally:
        for connection in silent:
            connection.close()
