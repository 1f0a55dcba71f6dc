"""Facial capture as it comes over UDP: Live Link Face's packets, and OSC of ARKit senders. Standard library only.

A packet is what anybody may send: lengths are checked before they are used, what does not fit is left out and counted.
"""

from __future__ import annotations

import math
import socket
import struct
import threading
import time
from collections.abc import Iterator

from ..errors import UserError

MOST_BYTES = 65_535  # of a packet
MOST_NAMES = 512  # values that are remembered
MOST_ROWS = 216_000  # recorded: an hour at 60 per second
MOST_DEPTH = 4  # of OSC bundles in each other
LONGEST_NAME = 100
POLL_SECONDS = 0.2  # between looks whether to end
VERSION = 6  # of Live Link Face's packets
EYE = ("EyeBlink", "EyeLookDown", "EyeLookIn", "EyeLookOut", "EyeLookUp", "EyeSquint", "EyeWide")
# The values of a packet in ARKit's order, then the head's and the eyes' angles.
LIVE_LINK_NAMES = (
    *(f"{name}Left" for name in EYE), *(f"{name}Right" for name in EYE),
    "JawForward", "JawLeft", "JawRight", "JawOpen", "MouthClose", "MouthFunnel", "MouthPucker", "MouthLeft", "MouthRight",
    "MouthSmileLeft", "MouthSmileRight", "MouthFrownLeft", "MouthFrownRight", "MouthDimpleLeft", "MouthDimpleRight",
    "MouthStretchLeft", "MouthStretchRight", "MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper",
    "MouthPressLeft", "MouthPressRight", "MouthLowerDownLeft", "MouthLowerDownRight", "MouthUpperUpLeft", "MouthUpperUpRight",
    "BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft", "BrowOuterUpRight", "CheekPuff",
    "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft", "NoseSneerRight", "TongueOut",
    "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch", "RightEyeRoll",
)  # fmt: skip
Values = dict[str, float]


def values_of(packet: bytes) -> Values:
    """Values by name of a packet of either kind; {} for one that holds none."""
    try:
        found = live_link_values(packet) if packet[:1] == bytes([VERSION]) else dict(osc_values(packet))
    except (struct.error, ValueError, IndexError):
        return {}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def live_link_values(packet: bytes) -> Values:
    """Of Live Link Face: version, two texts after their lengths, frame time, and 61 numbers after their count; big-endian."""
    place = 1
    for _text in ("device", "subject"):
        (length,) = struct.unpack_from(">i", packet, place)
        if not 0 <= length <= len(packet):
            raise ValueError("a text is longer than the packet")
        place += 4 + length
    place += struct.calcsize(">ifii")  # frame, its part, frames per second as a fraction
    count = packet[place]
    numbers = struct.unpack_from(f">{min(count, len(LIVE_LINK_NAMES))}f", packet, place + 1)
    return dict(zip(LIVE_LINK_NAMES, numbers, strict=False))


def osc_values(packet: bytes, depth: int = 0) -> Iterator[tuple[str, float]]:
    """Of OSC messages, also in bundles: /any/jawOpen 0.5, and /any "jawOpen" 0.5 with one name or several."""
    if packet.startswith(b"#bundle\0"):
        place = 16  # after the time
        while place + 4 <= len(packet) and depth < MOST_DEPTH:
            (length,) = struct.unpack_from(">i", packet, place)
            if not 0 < length <= len(packet) - place - 4:
                return
            yield from osc_values(packet[place + 4 : place + 4 + length], depth + 1)
            place += 4 + length
        return
    address, place = osc_text(packet, 0)
    if not address.startswith("/"):
        return
    kinds, place = osc_text(packet, place)
    name = address.rpartition("/")[2]
    for value in osc_arguments(packet, kinds, place):
        if isinstance(value, str):
            name = value
        elif 0 < len(name) <= LONGEST_NAME:
            yield name, float(value)


def osc_text(packet: bytes, place: int) -> tuple[str, int]:
    """A text that ends with a zero, and where the next thing begins: at a multiple of four bytes."""
    end = packet.index(b"\0", place)
    return packet[place:end].decode("utf-8", "replace"), (end // 4 + 1) * 4


def osc_arguments(packet: bytes, kinds: str, place: int) -> Iterator[float | str]:
    """Numbers and texts of a message, by its type tags."""
    for kind in kinds.removeprefix(","):
        if kind == "s":
            text, place = osc_text(packet, place)
            yield text
        elif kind in "fidh":
            code = {"f": ">f", "i": ">i", "d": ">d", "h": ">q"}[kind]
            yield struct.unpack_from(code, packet, place)[0]
            place += struct.calcsize(code)
        elif kind not in "TFNI":  # those have no bytes
            return


class LiveCapture:
    """Listens in a thread; ``newest`` hands over what came, ``rows`` what was recorded."""

    def __init__(self) -> None:
        self.error: UserError | None = None
        self.packets = self.left_out = 0
        self._lock = threading.Lock()
        self._values: Values = {}
        self._fresh: Values = {}  # what of these came since it was last handed over
        self._rows: list[tuple[float, Values]] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def listening(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def recording(self) -> bool:
        return self._rows is not None

    def start(self, host: str, port: int) -> int:
        """Listen there; returns the port, which is a free one for 0. Raises UserError."""
        self.stop()
        listener = bound(host, port)
        self.packets = self.left_out = 0
        self._values, self._fresh, self._stop = {}, {}, threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listener, self._stop), name="StyleRig capture", daemon=True)
        self._thread.start()
        return int(listener.getsockname()[1])

    def stop(self) -> None:
        """End listening; what was recorded stays until ``rows`` takes it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def record(self) -> None:
        """Begin to record what comes; what another sender sent before is forgotten."""
        with self._lock:
            self._rows, self._values, self._fresh = [], {}, {}

    def recorded(self) -> list[tuple[float, Values]]:
        """As ``rows``; the recording goes on."""
        with self._lock:
            return list(self._rows or [])

    def rows(self) -> list[tuple[float, Values]]:
        """End the recording: seconds of a steady clock, and all values then known."""
        with self._lock:
            rows, self._rows = self._rows or [], None
        return rows

    def newest(self) -> Values:
        """The values that came since the last call, each as it came last."""
        with self._lock:
            values, self._fresh = self._fresh, {}
        return values

    def _run(self, listener: socket.socket, stop: threading.Event) -> None:
        with listener:
            while not stop.is_set():
                try:
                    packet = listener.recv(MOST_BYTES)
                except TimeoutError:
                    continue
                except OSError:  # of one packet: Windows tells here that an answer found nobody
                    continue
                self._take(values_of(packet))

    def _take(self, values: Values) -> None:
        with self._lock:
            if not values:
                self.left_out += 1
                return
            self.packets += 1
            for name, value in values.items():
                if name in self._values or len(self._values) < MOST_NAMES:
                    self._values[name] = self._fresh[name] = value
            if self._rows is not None and len(self._rows) < MOST_ROWS:
                self._rows.append((time.monotonic(), dict(self._values)))


def bound(host: str, port: int) -> socket.socket:
    """A UDP socket at this address. Raises UserError."""
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise UserError(
            "no_address", "{host} is no address of this computer.", "Choose 127.0.0.1, or 0.0.0.0 for all.", host=host
        ) from error
    try:
        listener.settimeout(POLL_SECONDS)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise UserError(
            "port_taken", "Port {port} at {host} cannot be listened to: {reason}.",
            "Another program may use it: end that one, or choose another port here and in the sender.",
            host=host, port=port, reason=error.strerror or error,
        ) from error  # fmt: skip
    return listener
