"""Requests to /v1 as nobody should send them, each made from a seed and a number, so that one can be sent again alone.

``case(seed, number, …)`` is the bytes of a whole conversation from the client's side: right requests, and ones that are wrong
in their JSON, their latent, their HTTP or their bytes.
"""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backend.protocol import frames

PASSES = list(frames.PASSES)
# As text, for not all of it can be written by json.dumps.
VALUES = (
    "null", "true", "0", "-1", "1e308", "-1e308", "1e999", "NaN", "Infinity", "-0.0", "1e-320", "10", "1000", "9223372036854775807",
    "9223372036854775808", "1" + "0" * 400, '""', '"0.5"', '"\\u0000"', '"\\ud800"', '"\U0001f600"', '"' + "x" * 5000 + '"', "[]", "{}",
    "[[]]", '{"a": 1}', "[" * 50 + "]" * 50, "[0, 0, 0]", "[1e30, -1e30, 1e30]", '["Normal", "Normal"]', '["Depth"]', '"png"', '"raw"',
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "X" * 300)
TARGETS = (
    "/", "/v1", "/v1/", "/v1/frames/", "/v1/frames?size=1", "/v1//frames", "/V1/FRAMES", "/v1/../v1/health", "/v1/%66rames", "/v1/frames%00",
    "/v1/frames\x7f", "*", "http://127.0.0.1/v1/health", "/docs", "/v1/openapi.json", "/" + "a" * 9000, "/v1/health#x", "/%ff%fe",
)  # fmt: skip
POSTED = ("/v1/portraits", "/v1/portraits/mesh", "/v1/frames", "/v1/directions", "/v1/directions/sefa")
PATHS = ("/v1/health", "/v1/models", *POSTED, "/v1/openapi.json")


@dataclass(frozen=True)
class Service:
    """What a client has to know of the server."""

    port: int
    token: str
    portrait: dict
    expressions: list[str]


@dataclass
class Message:
    """A request that is still to be written down."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def encode(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + self.body


def case(seed: int, number: int, service: Service) -> bytes:
    """The bytes that client ``number`` of this seed sends."""
    draw = random.Random(f"{seed} {number}")
    kind = draw.choices(KINDS, [4, 8, 2, 4, 3])[0]
    return kind(draw, service)


def right(draw: random.Random, service: Service) -> bytes:
    return message(draw, service).encode()


def wrong_json(draw: random.Random, service: Service) -> bytes:
    """One to three places of the body hold something else."""
    method, target, content = request(draw, service, draw.choice(POSTED))
    text = json.dumps(marked(draw, content, draw.randint(1, 3)))
    while MARK in text:
        text = text.replace(MARK, draw.choice(VALUES), 1)
    return written(service, method, target, text.encode("utf-8", "surrogatepass")).encode()


def wrong_latent(draw: random.Random, service: Service) -> bytes:
    """Numbers of any size, or of another shape, as w."""
    shape = draw.choice([service.portrait["w_shape"]] * 6 + [[1, 512], [512, 1], [4096, 4096], [1, 1]])
    generator = np.random.default_rng(draw.getrandbits(32))
    count = min(int(np.prod(shape)), 20000)
    w = draw.choice([
        lambda: generator.integers(0, 2**32, count, dtype=np.uint32).view("<f4"),
        lambda: generator.standard_normal(count) * 10.0 ** draw.randint(-40, 38),
        lambda: np.full(count, draw.choice([0.0, 100.0, -100.0, 99.99, np.nan, np.inf, 3e38])),
    ])()  # fmt: skip
    with np.errstate(over="ignore"):
        text = base64.b64encode(w.astype("<f4").tobytes()[: None if draw.random() < 0.9 else -3]).decode()
    portrait = {**service.portrait, "w": text, "w_shape": shape}
    target, content = draw.choice([
        ("/v1/portraits", {"seed": 1, "w": text, "w_shape": shape}),
        ("/v1/portraits/mesh", {"portrait": portrait}),
        ("/v1/frames", {"portrait": portrait, "controls": controls(draw, service), "output": output(draw)}),
    ])  # fmt: skip
    return written(service, "POST", target, json.dumps(content).encode()).encode()


def wrong_http(draw: random.Random, service: Service) -> bytes:
    """Another method, address, header, length or coding."""
    sent = message(draw, service)
    for _ in range(draw.randint(1, 2)):
        draw.choice(HTTP_CHANGES)(draw, sent, service)
    return sent.encode()


def wrong_bytes(draw: random.Random, service: Service) -> bytes:
    """Bits that changed, or a request that breaks off, is sent twice or followed by something else."""
    sent = bytearray(message(draw, service).encode())
    change = draw.randrange(4)
    if change == 0:
        for _ in range(draw.randint(1, 8)):
            sent[draw.randrange(min(len(sent), 600))] ^= 1 << draw.randrange(8)
    elif change == 1:
        del sent[draw.randrange(len(sent)) :]
    elif change == 2:
        sent *= 2
    else:
        sent += draw.randbytes(draw.choice([1, 50, 5000]))
    return bytes(sent)


KINDS: tuple[Callable[[random.Random, Service], bytes], ...] = (right, wrong_json, wrong_latent, wrong_http, wrong_bytes)


def message(draw: random.Random, service: Service) -> Message:
    method, target, content = request(draw, service, draw.choice(PATHS))
    body = b"" if content is None else json.dumps(content).encode()
    sent = written(service, method, target, body)
    if target == "/v1/frames" and draw.random() < 0.3:
        sent.headers.append(("X-StyleRig-Supersede", draw.choice(["a", "b"])))
    return sent


def written(service: Service, method: str, target: str, body: bytes) -> Message:
    host = ("Host", f"127.0.0.1:{service.port}")
    headers = [host, ("Authorization", f"Bearer {service.token}"), ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return Message(method, target, headers, body)


def request(draw: random.Random, service: Service, path: str) -> tuple[str, str, dict | None]:
    """Method, path and content of a request that is right."""
    if path == "/v1/portraits":
        return "POST", path, {"model": "studio", "seed": draw.choice([0, 7, 2**63 - 1]), "truncation": draw.choice([0, 0.7, 2])}
    if path == "/v1/portraits/mesh":
        return "POST", path, {"portrait": service.portrait}
    if path == "/v1/frames":
        return "POST", path, {"portrait": service.portrait, "controls": controls(draw, service), "output": output(draw)}
    if path == "/v1/directions":
        return "POST", path, {"file": base64.b64encode(draw.randbytes(draw.choice([0, 8, 500]))).decode(), "name": "d.safetensors"}
    if path == "/v1/directions/sefa":
        return "POST", path, {"layers": draw.choice(["all", "0-1", "0,4"]), "count": draw.choice([1, 3, 96]), "distance": 5.0}
    return "GET", path, None


def controls(draw: random.Random, service: Service) -> dict:
    number = lambda largest: draw.choice([0.0, -0.0, largest, -largest, draw.uniform(-largest, largest), draw.uniform(-1, 1)])
    all_of_them = {
        "rotation": [number(10) for _ in range(3)],
        "expression": {name: number(10) for name in draw.sample(service.expressions, min(3, len(service.expressions)))},
        "light": [[number(1000) for _ in range(3)] for _ in range(9)],
        "translation": [number(100), number(100)],
        "scale": draw.choice([0.125, 8, 1.0, draw.uniform(0.125, 8)]),
        "attributes": {entry["name"]: number(1000) for entry in service.portrait.get("attributes") or ()},
    }
    return {name: value for name, value in all_of_them.items() if draw.random() < 0.4}


def output(draw: random.Random) -> dict:
    return {
        "size": draw.choice([None, 16, 17, 64, 100]),
        "passes": draw.sample(PASSES, draw.randrange(len(PASSES) + 1)),
        "format": draw.choice(["png", "raw"]),
    }


MARK = '"what comes here is chosen later"'


def marked(draw: random.Random, content: dict, count: int) -> dict:
    """A copy in which some places are marked, left out or have a neighbour too many."""
    content = copy.deepcopy(content)
    for _ in range(count):
        holder, key = draw.choice(list(places(content)))
        change = draw.random()
        if change < 0.7:
            holder[key] = MARK[1:-1]
        elif change < 0.8:
            del holder[key]
        elif isinstance(holder, dict):
            holder[draw.choice(["x", "", "w", "size\n", "é" * 70])] = MARK[1:-1]
        else:
            holder.insert(key, MARK[1:-1])
        if not content:
            break
    return content


def places(content: dict | list) -> list[tuple[dict | list, str | int]]:
    """Every place in nested dicts and lists, as what holds it and the key or index there."""
    found = []
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        found.append((content, key))
        if isinstance(value, dict | list):
            found += places(value)
    return found


def change_header(draw: random.Random, sent: Message, service: Service) -> None:
    name = draw.choice(["Host", "Authorization", "Content-Type", "Content-Length"])
    others = {
        "Host": ["", "example.org", f"localhost:{service.port}", f"127.0.0.1:{service.port}, a", "é"],
        "Authorization": ["", "Bearer", "Bearer x", "Basic " + service.token, "Bearer " + "é" * 40, f"Bearer {service.token} "],
        "Content-Type": ["", "text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "x" * 5000],
        "Content-Length": [
            "",
            "-1",
            "0",
            "1",
            "1e3",
            "99999999999999999999",
            str(len(sent.body) + 1),
            f"{len(sent.body)}, {len(sent.body)}",
        ],
    }
    sent.headers = [(key, draw.choice(others[name]) if key == name else value) for key, value in sent.headers]


def drop_header(draw: random.Random, sent: Message, service: Service) -> None:
    del sent.headers[draw.randrange(len(sent.headers))]
    sent.headers = sent.headers or [("X", "")]


def add_header(draw: random.Random, sent: Message, service: Service) -> None:
    sent.headers.append(draw.choice([
        ("Host", "127.0.0.1"), ("Origin", "null"), ("Origin", f"http://localhost:{service.port}"), ("Transfer-Encoding", "chunked"),
        ("Transfer-Encoding", "gzip"), ("Content-Length", "5"), ("Expect", "100-continue"), ("Upgrade", "websocket"), ("Connection", "Upgrade"),
        ("Connection", "close"), ("X-StyleRig-Supersede", "s" * 200), ("X-StyleRig-Client", "é" * 30), ("X" * 2000, "y"), ("X", "y" * 15000),
        (" folded", "line"), ("Cookie", "\x01"), ("Content-Encoding", "gzip"), ("Accept", "image/png; q=x"),
    ]))  # fmt: skip


def change_method(draw: random.Random, sent: Message, service: Service) -> None:
    sent.method = draw.choice(METHODS)


def change_target(draw: random.Random, sent: Message, service: Service) -> None:
    sent.target = draw.choice(TARGETS)


def change_body(draw: random.Random, sent: Message, service: Service) -> None:
    """Something else of a length that is said rightly."""
    sent.body = draw.choice([b"", b"{", b"[" * 20000, b"\xff\xfe\x00", b"null", b'""', draw.randbytes(300), b'{"a":' * 3000, b"1" * 5000])
    sent.headers = [(name, str(len(sent.body)) if name == "Content-Length" else value) for name, value in sent.headers]


def cut_into_chunks(draw: random.Random, sent: Message, service: Service) -> None:
    size = draw.choice([1, 7, 1000])
    pieces = [sent.body[start : start + size] for start in range(0, len(sent.body), size)][:3000]
    end = draw.choice([b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"zz\r\n", b"-1\r\n", b"ffffffffffffffff\r\n", b""])
    sent.headers = [(name, value) for name, value in sent.headers if name != "Content-Length"] + [("Transfer-Encoding", "chunked")]
    sent.body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


HTTP_CHANGES = (change_header, drop_header, add_header, change_method, change_target, change_body, cut_into_chunks)
