"""What the live view does next: a state machine without Blender, threads or clocks. Standard library only.

``next_state(state, event, now)`` gives the state after an event and what is to be done: nothing, reading the
rig, or asking the backend for a picture. A worker draws one picture at a time and, when it is done, the newest
that was asked for meanwhile. ``now``: seconds of a steady clock.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import Text, UserError
from .adaptive_resolution import AdaptiveResolution

REFINE_SECONDS = 0.15  # without an edit, then a coarse picture is followed by the full one
PATIENT_SECONDS = 3.0  # after which the status tells how long a picture has been under way
RESTARTING = Text("The backend stopped; starting it again…")


class Mode(enum.Enum):
    STOPPED = enum.auto()
    WAITING = enum.auto()  # for the first picture
    FOLLOWING = enum.auto()
    COARSE = enum.auto()  # what is shown is smaller than it will be once the rig rests
    PAUSED = enum.auto()  # an animation plays, and is not followed
    FAILED = enum.auto()  # the status says why; until there is a picture again


@dataclass(frozen=True)
class Shown:
    """The picture that is shown."""

    size: int  # pixels that it was drawn at
    full: int  # pixels that it is shown at
    seconds: float  # from request to answer


@dataclass(frozen=True)
class LiveState:
    mode: Mode = Mode.STOPPED
    status: Text | UserError | None = None  # for the panel
    subject: Hashable = None  # the portrait of the last request that did not fail
    asked: object = None  # all that the last request depended on, where it did not fail
    coarse: int | None = None  # the full size, where the last request was for less
    own_size: int = 0  # the generator's, 0 until known
    shown: Shown | None = None
    resolution: AdaptiveResolution = field(default_factory=AdaptiveResolution)
    edited_at: float = -math.inf
    asked_at: float = -math.inf
    answered_at: float = -math.inf  # with a picture or an error


@dataclass(frozen=True)
class Started:
    """The person switched the view on."""


@dataclass(frozen=True)
class Stopped:
    """The person switched the view off."""


@dataclass(frozen=True)
class Looked:
    """One turn of Blender's main loop."""

    changed: bool  # whether anything was edited since the rig was last read
    busy: bool  # whether the worker has something to draw
    starting: bool = False  # whether the backend is being started
    playing: bool = False
    playback: str = "AUTO"  # the person's choice: AUTO, FOLLOW or PAUSE
    frame_seconds: float = 1 / 24
    wanted_size: int = 0  # pixels, as the person set it; 0 is the generator's own


@dataclass(frozen=True)
class RigRead:
    """The rig was read, as ``ReadRig`` asked for."""

    subject: Hashable  # its portrait
    controls: object
    wanted_size: int


@dataclass(frozen=True)
class RigUnreadable:
    """There is no rig, or it cannot be read."""

    reason: Text | UserError


@dataclass(frozen=True)
class Answered:
    """A picture came."""

    size: int
    full: int
    seconds: float
    wanted_size: int


@dataclass(frozen=True)
class Refused:
    """An error came instead of a picture; ``busy``: the worker goes on, with this request or a newer one."""

    error: UserError
    busy: bool


@dataclass(frozen=True)
class ReadRig:
    """To do: read the rig and tell with RigRead or RigUnreadable."""


@dataclass(frozen=True)
class Ask:
    """To do: ask for a picture of the rig as it was last read, instead of one that still waits."""

    size: int | None  # pixels; None is the generator's own
    full: int | None  # pixels to show it at


Event = Started | Stopped | Looked | RigRead | RigUnreadable | Answered | Refused
Action = ReadRig | Ask | None
Step = tuple[LiveState, Action]


def next_state(state: LiveState, event: Event, now: float) -> Step:
    """The state after an event, and what to do."""
    if state.mode is Mode.STOPPED and not isinstance(event, Started):
        return state, None
    return HANDLERS[type(event)](state, event, now)


def start(state: LiveState, _event: Started, _now: float) -> Step:
    if state.mode is not Mode.STOPPED:
        return state, None
    return LiveState(Mode.WAITING, Text("Waiting for the first picture…")), None


def stop(_state: LiveState, _event: Stopped, _now: float) -> Step:
    return LiveState(), None


def look(state: LiveState, event: Looked, now: float) -> Step:
    state, resting = with_pause(state, event, now)
    if event.changed and not resting:
        return with_wait(state, event, now), ReadRig()
    if state.coarse is not None and not event.busy and now - state.edited_at > REFINE_SECONDS:
        return asking(state, state.coarse, state.coarse, now)
    return with_wait(state, event, now), None


def with_pause(state: LiveState, event: Looked, now: float) -> tuple[LiveState, bool]:
    """The state with or without a pause in playback, and whether edits are to wait.

    Where pictures come too slowly, one is tried now and then, so that the view comes back when it can follow.
    """
    rest = rest_in_playback(state, event)
    if not rest:
        return (showing(state) if state.mode is Mode.PAUSED else state), False
    if event.changed and state.mode is not Mode.FAILED:
        state = replace(state, mode=Mode.PAUSED, status=pause_reason(state, event))
    return state, event.busy or now - state.answered_at < rest


def rest_in_playback(state: LiveState, event: Looked) -> float:
    """Seconds from a picture to the next one; 0 where playback is followed, or nothing plays."""
    if not event.playing or event.playback == "FOLLOW":
        return 0.0
    if event.playback == "PAUSE":
        return math.inf
    full = event.wanted_size or state.own_size
    return state.resolution.backoff(full, event.frame_seconds) if full else 0.0


def pause_reason(state: LiveState, event: Looked) -> Text:
    if event.playback == "PAUSE" or state.shown is None:
        return Text("Paused during playback")
    return Text("Paused during playback until it can follow: a picture takes {time}", time=milliseconds(state.shown.seconds))


def with_wait(state: LiveState, event: Looked, now: float) -> LiveState:
    """The state with a word about a picture that takes long."""
    if not event.busy or state.mode in (Mode.FAILED, Mode.PAUSED):
        return state
    waited = int(now - state.asked_at)
    if event.starting and state.shown is not None:  # the backend was gone before the request
        return replace(state, mode=Mode.FAILED, status=RESTARTING)
    return replace(state, status=Text("Waiting for a picture: {seconds} s", seconds=waited)) if waited >= PATIENT_SECONDS else state


def read(state: LiveState, event: RigRead, now: float) -> Step:
    asked = (event.subject, event.controls, event.wanted_size)
    if asked == state.asked:
        return state, None
    if event.subject != state.subject or state.asked is None:
        state = replace(state, own_size=0)  # another portrait may be of another generator
    full = event.wanted_size or state.own_size or None
    size = state.resolution.interactive_size(full) if full else None
    return asking(replace(state, subject=event.subject, asked=asked, edited_at=now), size, full, now)


def asking(state: LiveState, size: int | None, full: int | None, now: float) -> Step:
    return replace(state, coarse=full if size != full else None, asked_at=now), Ask(size, full)


def fail(state: LiveState, event: RigUnreadable, _now: float) -> Step:
    return failed(state, event.reason), None


def refuse(state: LiveState, event: Refused, now: float) -> Step:
    return replace(failed(state, refusal(event)), answered_at=now), None


def failed(state: LiveState, reason: Text | UserError) -> LiveState:
    """Without a picture; the next edit asks again, whatever it is."""
    return replace(state, mode=Mode.FAILED, status=reason, asked=None, coarse=None)


def refusal(event: Refused) -> Text | UserError:
    """What the person is told of an error."""
    error = event.error
    if error.code == "backend_gone" and event.busy:
        return RESTARTING
    if error.code == "out_of_memory":  # the backend's own hint speaks of requests
        hint = Text("Choose a smaller size in the live view's settings, or close other programs.")
        return UserError(error.code, error.message_text, hint)
    return error


def answer(state: LiveState, event: Answered, now: float) -> Step:
    first = state.shown is None  # its time may be that of loading the model
    resolution = state.resolution if first else state.resolution.measured(event.size, event.seconds)
    state = replace(
        state,
        shown=Shown(event.size, event.full, event.seconds),
        own_size=state.own_size if event.wanted_size else event.full,
        resolution=resolution,
        answered_at=now,
    )
    if state.mode is Mode.PAUSED:  # a trial
        return state, None
    state = showing(state)
    return (replace(state, status=Text("Follows the rig")) if first else state), None


def showing(state: LiveState) -> LiveState:
    """With the mode and the status that go with the picture that is shown."""
    shown = state.shown
    if shown is None:
        return replace(state, mode=Mode.WAITING, status=Text("Waiting for the first picture…"))
    time = milliseconds(shown.seconds)
    if shown.size == shown.full:
        return replace(state, mode=Mode.FOLLOWING, status=Text("{time} per picture", time=time))
    words = Text("Coarse while it moves: {size} of {full} px, {time} per picture", size=shown.size, full=shown.full, time=time)
    return replace(state, mode=Mode.COARSE, status=words)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


HANDLERS: dict[type, Callable[[LiveState, Any, float], Step]] = {  # each takes the event that it stands behind
    Started: start,
    Stopped: stop,
    Looked: look,
    RigRead: read,
    RigUnreadable: fail,
    Answered: answer,
    Refused: refuse,
}
