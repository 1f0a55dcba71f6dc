"""A backend without torch for tests of the add-on: /v1 over http.server, portraits as drawings.

In this process: ``with FakeBackend() as backend: Client(backend.port, backend.token)``.
As a process of its own, started by the add-on like the real one: ``make_payload(folder)`` and set
STYLERIG_PAYLOAD to the folder and STYLERIG_PYTHON to an interpreter with numpy.
Pictures are pure functions of the request: the disc moves with yaw and pitch, the mouth opens with
jawOpen, brightness follows the first light coefficient.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import math
import os
import shutil
import socket
import struct
import sys
import threading
import time
import tomllib
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

EXPRESSIONS = ("eyeBlink_L", "eyeBlink_R", "eyeLookOut_L", "eyeLookIn_L", "eyeLookUp_L", "jawOpen", "mouthSmile_L", "mouthSmile_R")
WIDTHS = {
    "Portrait": "RGB", "HeadMatte": "X", "FaceMask": "X", "Normal": "XYZ", "Albedo": "RGB", "Shading": "RGB", "Specular": "RGB",
    "Occlusion": "X", "Depth": "Z", "UV": "UV", "Position": "XYZ", "SkinMatte": "X", "HairMatte": "X", "EyesMatte": "X",
    "MouthMatte": "X", "ClothesMatte": "X", "GlassesMatte": "X",
}  # fmt: skip
RADII = np.array((7.5, 11.0, 9.5), dtype=np.float32)  # cm
EYES = np.array(((3.0, 3.0, 8.0), (-3.0, 3.0, 8.0)), dtype=np.float32)
SIZE = 64
MANIFEST = Path(__file__).parents[2] / "blender_addon" / "blender_manifest.toml"
LAYERS = 10
WEIGHTS_HASH = hashlib.sha256(b"fake").hexdigest()
ATTRIBUTES = [{"name": "age", "minimum": -1.0, "maximum": 1.0}, {"name": "coarse_1", "minimum": -0.5, "maximum": 2.0}]
MODEL = {
    "name": "studio", "weights_hash": WEIGHTS_HASH, "resolution": SIZE, "w_shape": [LAYERS, 512], "expressions": EXPRESSIONS,
    "identity": 4, "reflectance": 3, "passes": list(WIDTHS), "sizes": [16, 2048],
    "attributes": ATTRIBUTES,
}  # fmt: skip


LOOKS = [
    {"name": "drawing", "sha256": "d" * 64, "kind": "cyclegan", "labels": [], "domains": [], "title": "Lines."},
    {"name": "attributes", "sha256": "a" * 64, "kind": "stargan", "labels": ["blond hair", "beard"], "domains": [], "title": ""},
    {"name": "styles", "sha256": "5" * 64, "kind": "starganv2", "labels": [], "domains": ["young", "old"], "title": ""},
]


def new_portrait(seed: int, truncation: float) -> dict:
    """A portrait as /v1/portraits answers it; the same arguments give the same portrait."""
    random = np.random.default_rng(seed)
    w = random.standard_normal((LAYERS, 512)).astype("<f4") * truncation
    light = np.zeros((9, 3))
    light[0] = math.sqrt(4 * math.pi) * 0.8
    light[2], light[3] = 0.5, 0.3
    parameters = {
        "identity": random.standard_normal(4).round(4).tolist(),
        "reflectance": random.standard_normal(3).round(4).tolist(),
        "expression": {
            name: round(float(value), 4) for name, value in zip(EXPRESSIONS, random.uniform(0, 0.3, len(EXPRESSIONS)), strict=True)
        },
        "light": light.tolist(),
        "rotation": random.uniform(-0.1, 0.1, 3).round(4).tolist(),
        "translation": [0.0, -2.0, 0.0],
    }
    return {
        "model": "studio", "weights_hash": WEIGHTS_HASH, "seed": seed, "truncation": truncation,
        "w": base64.b64encode(w.tobytes()).decode(), "w_shape": list(w.shape), "parameters": parameters,
        "attributes": ATTRIBUTES,
    }  # fmt: skip


def parameters_of_latent(parameters: dict, w: str) -> dict:
    """Other identity for another latent, as the real reconstruction has it."""
    values = np.frombuffer(base64.b64decode(w), dtype="<f4")[:4]
    return {**parameters, "identity": values.astype(float).round(4).tolist()}


def ball(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit directions (V, 3), quads (Q, 4) counter-clockwise from outside, corner UVs (4Q, 2)."""
    polar = np.linspace(0.05, math.pi - 0.05, rows)
    around = np.arange(columns) * 2 * math.pi / columns
    a, b = np.meshgrid(polar, around, indexing="ij")
    directions = np.stack((np.sin(a) * np.sin(b), np.cos(a), np.sin(a) * np.cos(b)), axis=-1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    k = (j + 1) % columns
    quads = np.stack((i * columns + j, (i + 1) * columns + j, (i + 1) * columns + k, i * columns + k), axis=-1).reshape(-1, 4)
    u = np.stack((j, j, j + 1, j + 1), axis=-1).reshape(-1) / columns
    v = 1 - np.stack((i, i + 1, i + 1, i), axis=-1).reshape(-1) / (rows - 1)
    return directions.astype(np.float32), quads, np.stack((u, v), axis=-1).astype(np.float32)


def radii(portrait: dict) -> np.ndarray:
    """Of the ellipsoid that is its head, (3,), cm."""
    return RADII * (1 + 0.02 * np.tanh(portrait["parameters"]["identity"][:3]))


def mesh_of(portrait: dict) -> dict[str, np.ndarray]:
    """A head of an ellipsoid and two eyeballs with the arrays of /v1/portraits/mesh."""
    skin, skin_quads, skin_uv = ball(16, 24)
    eye, eye_quads, eye_uv = ball(6, 8)
    vertices = np.concatenate((skin * radii(portrait), eye * 1.2 + EYES[0], eye * 1.2 + EYES[1])).astype(np.float32)
    starts = (len(skin), len(skin) + len(eye))
    corners = np.concatenate((skin_quads, eye_quads + starts[0], eye_quads + starts[1]))
    groups = np.zeros((4, len(vertices)), dtype=np.float32)
    groups[0] = np.clip((vertices[:, 1] + 10) / 4, 0, 1)
    groups[1] = 1 - groups[0]
    groups[2, starts[0] : starts[1]] = groups[3, starts[1] :] = 1
    values = portrait["parameters"]["expression"]
    albedo = np.full_like(vertices, 0.8)
    albedo[: len(skin)] = (0.5, 0.3, 0.2)
    return {
        "vertices": vertices.astype(np.float32),
        "expression": expressions(vertices, groups),
        "expression_names": np.array(EXPRESSIONS),
        "expression_values": np.array([values[name] for name in EXPRESSIONS], dtype=np.float32),
        "polygon_sizes": np.full(len(corners), 4, dtype=np.int32),
        "corners": corners.astype(np.int32).ravel(),
        "uv": np.concatenate((skin_uv, eye_uv, eye_uv)),
        "albedo": albedo.astype(np.float32),
        "landmarks": landmarks(vertices),
        "group_names": np.array(("head", "neck", "eye_L", "eye_R")),
        "groups": groups,
        "eye_centers": EYES,
    }


def landmarks(vertices: np.ndarray) -> np.ndarray:
    """68 vertex indices: where the eyes (36 to 47) and the corners of the mouth (48, 54) are, the chin for the rest."""
    places = np.tile(np.float32((0, -8, 8)), (68, 1))
    places[36:42], places[42:48] = (-3.2, 2.5, 8), (3.2, 2.5, 8)
    places[48], places[54] = (-2.5, -4.5, 8), (2.5, -4.5, 8)
    return np.linalg.norm(vertices[None] - places[:, None], axis=2).argmin(axis=1).astype(np.int32)


def expressions(vertices: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Changes (E, V, 3): the eyeLook ones turn the left eyeball by 0.5 rad, others move a patch."""
    changes = np.zeros((len(EXPRESSIONS), *vertices.shape), dtype=np.float32)
    turns = {"eyeLookOut_L": (1, 0.5), "eyeLookIn_L": (1, -0.5), "eyeLookUp_L": (0, -0.5)}
    from_eye = vertices - EYES[0]
    for index, name in enumerate(EXPRESSIONS):
        if name in turns:
            axis, angle = turns[name]
            a, b = (axis + 1) % 3, (axis + 2) % 3
            turned = from_eye.copy()
            turned[:, a] = math.cos(angle) * from_eye[:, a] - math.sin(angle) * from_eye[:, b]
            turned[:, b] = math.sin(angle) * from_eye[:, a] + math.cos(angle) * from_eye[:, b]
            changes[index] = (turned - from_eye) * groups[2][:, None]
        else:
            place = np.array((0, -6, 9)) if name == "jawOpen" else np.array((3 if name.endswith("_L") else -3, 0, 9))
            near = np.exp(-((vertices - place) ** 2).sum(1) / 8)
            changes[index] = near[:, None] * (0, -1.5, 0)
    return changes


def draw(controls: dict, portrait: dict, size: int) -> np.ndarray:
    """Scene-linear premultiplied RGBA (H, W, 4), row 0 at the top."""
    own = portrait["parameters"]
    yaw, pitch, roll = controls.get("rotation") or own["rotation"]
    expression = {**own["expression"], **(controls.get("expression") or {})}
    light = np.array(controls.get("light") or own["light"])
    shift, scale = controls.get("translation") or (0, 0), controls.get("scale", 1.0)
    line = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(line, -line)
    x, y = (x - 2 * shift[0]) / scale, (y - 2 * shift[1]) / scale
    x, y = math.cos(roll) * x + math.sin(roll) * y, math.cos(roll) * y - math.sin(roll) * x
    alpha = np.clip((0.8 - np.hypot(x / 0.8, y)) * size / 4, 0, 1)
    colour = np.ones((size, size, 3)) * (0.5, 0.3, 0.2)
    colour[..., 2] += 0.1 * sum((controls.get("attributes") or {}).values())  # each makes skin bluer
    features = [
        (0.25, 0.2, 0.1, 0.08 * (1 - expression["eyeBlink_L"]) + 0.01),
        (-0.25, 0.2, 0.1, 0.08 * (1 - expression["eyeBlink_R"]) + 0.01),
    ]
    features.append((0, -0.35, 0.2 + 0.1 * expression["mouthSmile_L"], 0.03 + 0.2 * expression["jawOpen"]))
    for look in controls.get("looks") or ():  # each makes all redder
        colour[..., 0] += 0.4 * look["strength"]
    for fx, fy, rx, ry in features:
        inside = np.hypot((x - fx - 0.5 * math.sin(yaw)) / rx, (y - fy + 0.5 * math.sin(pitch)) / ry) < 1
        colour[inside] = (0.05, 0.02, 0.02)
    colour = colour * np.clip(light[0] / math.sqrt(4 * math.pi) + 0.3 * (x[..., None] * light[3] + y[..., None] * light[1]), 0, None)
    return np.concatenate((colour * alpha[..., None], alpha[..., None]), axis=-1).astype(np.float32)


def passes_of(combined: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """Pixels (H, W, C) and channel names of Combined and the passes asked for."""
    layers, channels = [combined], [f"Combined.{letter}" for letter in "RGBA"]
    mask = combined[..., 3:]
    for name in names:
        width = WIDTHS[name]
        layer = np.where(mask > 0.5, 120.0, 1e10) if name == "Depth" else mask * 0.5 if name != "FaceMask" else mask
        layers.append(np.repeat(layer, len(width), axis=-1).astype(np.float32))
        channels += [f"{name}.{letter}" for letter in width]
    return np.concatenate(layers, axis=-1), channels


def png_of(combined: np.ndarray) -> bytes:
    """A PNG with straight alpha, sRGB."""
    alpha = combined[..., 3:]
    linear = np.clip(combined[..., :3] / np.maximum(alpha, 1e-6), 0, 1)
    display = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    pixels = np.round(np.concatenate((display, alpha), axis=-1) * 255).astype(np.uint8)
    height, width = pixels.shape[:2]
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def directions_of(names: list[str]) -> dict:
    """Attributes that a portrait brings, as /v1/directions answers them."""
    step = base64.b64encode(np.ones(512, dtype="<f4").tobytes()).decode()
    each = [{"name": name, "minimum": -3.0, "maximum": 3.0, "layers": [0, 1], "step": step} for name in names]
    return {"generator": "0" * 64, "directions": each}


JOB = "/v1/portraits/photos/0123"
OFFSETS_FILE, OFFSETS_HASH = base64.b64encode(bytes(range(256)) * 20).decode(), "ab" * 32


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str, hint: str = ""):
        super().__init__(message)
        self.status, self.body = status, {"error": {"code": code, "message": message, "hint": hint}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the second part of an answer waits for the first one's acknowledgement

    def do_GET(self) -> None:
        self.answer({"/v1/health": self.health, "/v1/models": self.models, "/v1/looks": self.looks, JOB: self.photo_state})

    def do_DELETE(self) -> None:
        self.answer({JOB: self.photo_cancelled})

    def do_POST(self) -> None:
        self.answer({"/v1/portraits/photos": self.photos, "/v1/portraits": self.portraits, "/v1/portraits/mesh": self.mesh, "/v1/frames": self.frames,
                     "/v1/directions": self.directions, "/v1/directions/sefa": self.sefa, "/v1/looks/style": self.look_style,
                     "/v1/looks/pictures": self.look_picture})  # fmt: skip

    def answer(self, routes: dict) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if self.headers.get("Authorization") != f"Bearer {self.server.token}":
                raise Refused(401, "unauthorized", "The token is wrong.")
            if self.path not in routes:
                raise Refused(404, "not_found", "There is no such path.")
            self.server.requests.append((self.path, json.loads(content) if content else None))
            status, (body, headers) = 200, routes[self.path](json.loads(content) if content else {})
        except Refused as refused:
            status, body, headers = refused.status, json.dumps(refused.body).encode(), {}
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def health(self, _request: dict) -> tuple[bytes, dict]:
        state = {"status": "ok", "version": "fake", "device": "cpu", "models": ["studio"], "loaded": True, "problem": None}
        return json.dumps(state).encode(), {}

    def models(self, _request: dict) -> tuple[bytes, dict]:
        return json.dumps([MODEL]).encode(), {}

    def portraits(self, request: dict) -> tuple[bytes, dict]:
        if request.get("model") not in (None, "studio"):
            raise Refused(404, "unknown_model", f"There is no model {request.get('model')!r}.")
        portrait = new_portrait(request["seed"], request["truncation"])
        if request.get("w"):
            parameters = request.get("parameters") or parameters_of_latent(portrait["parameters"], request["w"])
            portrait = {**portrait, "w": request["w"], "parameters": parameters}
        return json.dumps(portrait).encode(), {}

    def photos(self, request: dict) -> tuple[bytes, dict]:
        """A photo whose bytes are "nobody" shows nobody."""
        self.server.photo, self.server.asked = base64.b64decode(request["photos"][0]["file"]), 0
        return json.dumps({"job": JOB.rpartition("/")[2]}).encode(), {}

    def photo_state(self, _request: dict) -> tuple[bytes, dict]:
        """Done when it is asked about the second time."""
        self.server.asked += 1
        state = {"stage": "Looking", "done": 0.4, "preview": None, "ended": self.server.asked > 1, "portrait": None, "error": None}
        if state["ended"] and self.server.photo == b"nobody":
            state["error"] = {"code": "no_face", "message": "There is no face to be found in photo.jpg.", "hint": "Choose another."}
        elif state["ended"]:
            state["portrait"] = {**new_portrait(0, 1.0), "offsets": {"sha256": OFFSETS_HASH, "file": OFFSETS_FILE}}
        return json.dumps(state).encode(), {}

    def photo_cancelled(self, _request: dict) -> tuple[bytes, dict]:
        return self.photo_state({})

    def check_offsets(self, portrait: dict) -> None:
        """Those that came with their file once are known."""
        offsets = portrait.get("offsets")
        if offsets and offsets.get("file"):
            self.server.known.add(offsets["sha256"])
        if offsets and offsets["sha256"] not in self.server.known:
            raise Refused(409, "offsets_missing", "The offsets of this portrait are not here.")

    def directions(self, request: dict) -> tuple[bytes, dict]:
        """Names by commas are a good file."""
        content = base64.b64decode(request["file"])
        if not content.isascii():
            raise Refused(400, "bad_directions", f"{request['name']} holds no directions that can be used.", "Make the directions again.")
        return json.dumps(directions_of(content.decode().split(","))).encode(), {}

    def sefa(self, request: dict) -> tuple[bytes, dict]:
        names = [f"SeFa {request['layers']}: {number}" for number in range(1, request["count"] + 1)]
        return json.dumps(directions_of(names)).encode(), {}

    def looks(self, _request: dict) -> tuple[bytes, dict]:
        return json.dumps(LOOKS).encode(), {}

    def look_style(self, request: dict) -> tuple[bytes, dict]:
        """A style for each label and picture."""
        text = f"{request['look']['label']} {request['picture']['data']}"
        return json.dumps({"style": base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}).encode(), {}

    def look_picture(self, request: dict) -> tuple[bytes, dict]:
        """Redder by the look's strength."""
        picture = request["picture"]
        pixels = np.frombuffer(base64.b64decode(picture["data"]), picture["type"]).reshape(*picture["shape"], 4).astype("<f4")
        pixels = pixels / 255 if picture["type"] == "u1" else pixels
        pixels[..., 0] += request["look"]["strength"] * (1 - pixels[..., 0])
        headers = {"X-Array-Shape": ",".join(map(str, pixels.shape)), "X-Array-Type": "<f4", "X-Array-Channels": "R,G,B,A"}
        return pixels.astype("<f4").tobytes(), headers

    def mesh(self, request: dict) -> tuple[bytes, dict]:
        self.check_offsets(request["portrait"])
        archive = io.BytesIO()
        np.savez(archive, **mesh_of(request["portrait"]))
        return archive.getvalue(), {"Content-Type": "application/octet-stream"}

    def frames(self, request: dict) -> tuple[bytes, dict]:
        output, portrait = request["output"], request["portrait"]
        if portrait["weights_hash"] != WEIGHTS_HASH:
            raise Refused(409, "weights_missing", "The portrait's weights are missing.", "Install its model.")
        self.check_offsets(portrait)
        size = output.get("size") or SIZE
        if not 16 <= size <= 2048:
            raise Refused(422, "invalid", "size must be 16 to 2048")
        delay = self.server.delay
        time.sleep(delay(size) if callable(delay) else delay)
        if self.server.refusal is not None:
            raise self.server.refusal
        combined = draw(request["controls"], portrait, size)
        if output.get("format") == "png":
            return png_of(combined), {"Content-Type": "image/png"}
        pixels, channels = passes_of(combined, output.get("passes") or [])
        shape = ",".join(str(number) for number in pixels.shape)
        headers = {
            "Content-Type": "application/octet-stream",
            "X-Array-Shape": shape,
            "X-Array-Type": "<f4",
            "X-Array-Channels": ",".join(channels),
        }
        rotation = request["controls"].get("rotation") or portrait["parameters"]["rotation"]
        headers["X-StyleRig-Placement"] = ",".join(map(repr, map(float, (*rotation, 0, 0, 0))))
        return np.ascontiguousarray(pixels, dtype="<f4").tobytes(), headers

    def log_message(self, *_arguments) -> None:
        """Nothing: tests print their own."""


class FakeBackend(ThreadingHTTPServer):
    """The server, in a thread of this process, as a context manager.

    ``requests``: (path, body) so far. ``delay``: seconds that a frame takes, or a function of its size.
    ``refusal``: what each frame is answered with instead.
    """

    daemon_threads = True

    def __init__(self, token: str = "secret", port: int = 0, delay: float | Callable[[int], float] = 0.0):
        super().__init__(("127.0.0.1", port), Handler)
        self.token, self.delay, self.requests = token, delay, []
        self.refusal: Refused | None = None
        self.known: set[str] = set()  # hashes of portraits' offsets
        self.port = self.server_address[1]
        self.accepted: list[socket.socket] = []

    @property
    def connections(self) -> int:
        """How many there were so far."""
        return len(self.accepted)

    def get_request(self) -> tuple:
        connection, address = super().get_request()
        self.accepted.append(connection)
        return connection, address

    def server_close(self) -> None:
        """As when a process ends: its connections end with it."""
        super().server_close()
        for connection in self.accepted:
            with contextlib.suppress(OSError):  # ended already
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> FakeBackend:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_exception) -> None:
        self.shutdown()
        self.server_close()


def make_payload(folder: Path, version: str | None = None) -> Path:
    """A payload folder whose ``python -m backend serve`` is this file; of the extension's version if none is given."""
    package = Path(folder) / "backend"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"__version__ = {version or tomllib.loads(MANIFEST.read_text())['version']!r}\n")
    shutil.copy(__file__, package / "__main__.py")
    return Path(folder)


def main() -> None:
    """``serve --port N [--exit-with-stdin]`` with the token in STYLERIG_TOKEN.

    STYLERIG_FAKE tells it to misbehave: "silent" (never ready), "crash" (ends with an error).
    STYLERIG_FAKE_DELAY: seconds per frame.
    """
    mode = os.environ.get("STYLERIG_FAKE", "")
    if mode == "crash":
        sys.exit("ModuleNotFoundError: No module named 'torch'")
    if mode == "silent":
        sys.stdin.read()
        return
    from backend import __version__  # the payload's

    delay = float(os.environ.get("STYLERIG_FAKE_DELAY", "0"))
    server = FakeBackend(os.environ["STYLERIG_TOKEN"], int(sys.argv[sys.argv.index("--port") + 1]), delay)
    with server:
        print(
            json.dumps({"event": "ready", "port": server.port, "pid": os.getpid(), "version": __version__, "models": [MODEL["name"]]}),
            flush=True,
        )
        sys.stdin.read() if "--exit-with-stdin" in sys.argv else threading.Event().wait()


if __name__ == "__main__":
    main()
