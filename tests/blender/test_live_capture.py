"""Live capture: packets of Live Link Face and of OSC senders, odd ones too, over a real socket, and the recording."""

from __future__ import annotations

import random
import socket
import struct
import time

import bpy
import pytest


def live_link(values: dict[str, float], names: tuple[str, ...], count: int = 61) -> bytes:
    """A packet as the app sends it."""
    device, subject = b"8CC4F2F1-5A2D-4DC0-9CB2-0C2F9F3B7E11", "Zoë".encode()
    numbers = [values.get(name, 0.0) for name in names]
    head = bytes([6]) + struct.pack(">i", len(device)) + device + struct.pack(">i", len(subject)) + subject
    return head + struct.pack(">ifiiB", 7, 0.5, 60, 1, count) + struct.pack(f">{len(numbers)}f", *numbers)


def padded(text: bytes) -> bytes:
    return text + b"\0" * (4 - len(text) % 4)


def osc(address: str, kinds: str, *arguments: float | str) -> bytes:
    """An OSC message."""
    body = b"".join(
        padded(value.encode()) if kind == "s" else struct.pack({"f": ">f", "i": ">i"}[kind], value)
        for kind, value in zip(kinds, arguments, strict=True)
    )
    return padded(address.encode()) + padded(f",{kinds}".encode()) + body


def bundle(*messages: bytes) -> bytes:
    return b"#bundle\0" + bytes(8) + b"".join(struct.pack(">i", len(message)) + message for message in messages)


def test_packets_of_live_link_face(part):
    capture = part("client.live_capture")
    sent = {"EyeBlinkLeft": 0.25, "JawOpen": 0.5, "TongueOut": 0.75, "HeadYaw": -0.125}
    found = capture.values_of(live_link(sent, capture.LIVE_LINK_NAMES))
    assert len(found) == 61 and {name: found[name] for name in sent} == sent
    assert capture.values_of(live_link(sent, capture.LIVE_LINK_NAMES)[:-1]) == {}
    assert capture.values_of(bytes([6]) + struct.pack(">i", 2**31 - 1) + b"x" * 40) == {}


def test_osc_messages_of_either_form(part):
    values = part("client.live_capture").values_of
    assert values(osc("/face/jawOpen", "f", 0.5)) == {"jawOpen": 0.5}
    assert values(osc("/VMC/Ext/Blend/Val", "sf", "eyeBlinkLeft", 0.25)) == {"eyeBlinkLeft": 0.25}
    assert values(osc("/blendshapes", "sfsi", "jawOpen", 0.5, "mouthClose", 1)) == {"jawOpen": 0.5, "mouthClose": 1.0}
    inner = bundle(osc("/a/jawOpen", "f", 0.5), bundle(osc("/b/jawLeft", "f", 0.25)))
    assert values(inner) == {"jawOpen": 0.5, "jawLeft": 0.25}
    assert values(osc("/face/jawOpen", "f", float("nan"))) == {}


def test_rubbish_is_no_value_and_no_error(part):
    values, chance = part("client.live_capture").values_of, random.Random(3)
    deep = osc("/a/jawOpen", "f", 0.5)
    for _ in range(50):
        deep = bundle(deep)
    whole = bundle(osc("/a/jawOpen", "f", 0.5), osc("/blendshape", "sf", "jawLeft", 0.25))
    assert values(b"") == values(deep) == values(b"/no end") == {}
    for _ in range(2000):
        cut = bytearray(whole[: chance.randrange(len(whole))])
        for _ in range(chance.randrange(4)):
            if cut:
                cut[chance.randrange(len(cut))] = chance.randrange(256)
        assert all(isinstance(value, float) for value in values(bytes(cut)).values())


@pytest.fixture
def stream(part, rig):
    """The panel's stream, listening at a free port; yields what sends a packet to it and waits until it came."""
    live = part("ui.live_capture")
    assert bpy.ops.stylerig.live_capture(host="127.0.0.1", port=0) == {"FINISHED"}
    live.STREAM.stop()
    port = live.STREAM.start("127.0.0.1", 0)

    def send(packet: bytes) -> None:
        before, end = live.STREAM.packets + live.STREAM.left_out, time.monotonic() + 20
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(packet, ("127.0.0.1", port))
        while live.STREAM.packets + live.STREAM.left_out == before:
            assert time.monotonic() < end, "it did not come"
            time.sleep(0.01)

    yield send
    live.STREAM.stop()
    live.STREAM.rows()


@pytest.mark.parametrize("on_rig", [False, True])
def test_the_rig_follows_and_a_recording_is_an_action(part, rig, stream, on_rig):
    live, capture = part("ui.live_capture"), part("client.live_capture")
    if on_rig:
        bpy.ops.stylerig.add_controls()
    stream(live_link({"JawOpen": 0.5, "HeadYaw": 0.25}, capture.LIVE_LINK_NAMES))
    stream(b"rubbish")
    assert (live.STREAM.packets, live.STREAM.left_out) == (1, 1)
    live.follow()
    read = part("rig.read_rig").read_controls
    bpy.context.view_layer.update()
    controls = read(rig, bpy.context.evaluated_depsgraph_get())[1]
    assert controls["expression"]["jawOpen"] == pytest.approx(0.5) and controls["rotation"][0] == pytest.approx(0.25, abs=1e-5)
    bpy.context.scene.frame_set(11)
    assert bpy.ops.stylerig.record_capture() == {"FINISHED"}
    stream(osc("/face/jawOpen", "f", 0.75))
    time.sleep(0.1)  # so that there is more than one frame
    stream(osc("/face/jawOpen", "f", 1.5))
    assert bpy.ops.stylerig.record_capture() == {"FINISHED"}
    owner = part("rig.controls").control_of(rig, "jawOpen").owner
    assert owner.animation_data.action.name.startswith("Live Take")
    bpy.context.scene.frame_set(11)
    assert read(rig, bpy.context.evaluated_depsgraph_get())[1]["expression"]["jawOpen"] == pytest.approx(0.75, abs=0.01)


def test_a_recording_that_cannot_be_keyed_is_not_lost(part, rig, stream, monkeypatch):
    live, animation = part("ui.live_capture"), part("rig.animation")
    bpy.ops.stylerig.record_capture()
    stream(osc("/face/jawOpen", "f", 0.75))

    def refuse(*_arguments):
        raise part("errors").UserError("linked", "The head is linked.", "Override it.")

    with monkeypatch.context() as patch:
        patch.setattr(animation, "apply_capture", refuse)
        with pytest.raises(RuntimeError, match="linked"):
            bpy.ops.stylerig.record_capture()
    assert live.STREAM.recording
    assert bpy.ops.stylerig.record_capture() == {"FINISHED"} and not live.STREAM.recording


def test_a_recording_of_nothing_is_told(stream):
    bpy.ops.stylerig.record_capture()
    with pytest.raises(RuntimeError, match=r"Nothing was recorded.*firewall"):
        bpy.ops.stylerig.record_capture()


def test_a_port_that_is_taken_and_an_address_that_is_none(rig):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(RuntimeError, match=f"Port {port} at 127.0.0.1 cannot be listened to.*choose another port"):
            bpy.ops.stylerig.live_capture(port=port)
    with pytest.raises(RuntimeError, match="no address of this computer"):
        bpy.ops.stylerig.live_capture(host="no such host.invalid", port=11111)


def test_memory_is_bounded(part, monkeypatch):
    capture = part("client.live_capture")
    monkeypatch.setattr(capture, "MOST_ROWS", 3)
    stream = capture.LiveCapture()
    stream.record()
    for row in range(10):
        stream._take({f"name{row}_{column}": 0.5 for column in range(100)})
    assert len(stream.newest()) == capture.MOST_NAMES and len(stream.rows()) == 3
