"""The live view's state machine and the sizes it asks for, without Blender: scenes, and whatever may happen in any order."""

from __future__ import annotations

import dataclasses
import math

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.helpers.addon_modules import addon_module

policy = addon_module("live.policy")
errors = addon_module("errors")
AdaptiveResolution = addon_module("live.adaptive_resolution").AdaptiveResolution
Mode = policy.Mode
OWN = 256  # the generator's own size


class World:
    """A rig, a worker that draws one picture at a time and keeps the newest of those that wait, and a clock."""

    def __init__(self):
        self.state, self.now = policy.LiveState(), 0.0
        self.rig: int | None = 0  # its version; None: there is none
        self.changed = self.playing = self.starting = False
        self.playback, self.wanted_size = "AUTO", 0
        self.read: int | None = None
        self.at_work = self.waiting = None  # (version of the rig, what was asked)
        self.drawn = None  # the last that was answered
        self.asks: list = []  # since the last edit

    def feed(self, event):
        self.state, action = policy.next_state(self.state, event, self.now)
        return action

    def start(self):
        self.changed, self.at_work, self.waiting = True, None, None
        self.feed(policy.Started())

    def edit(self):
        self.rig = (self.rig or 0) + 1
        self.changed, self.asks = True, []

    def look(self, seconds=0.01):
        """One turn of the main loop, as the controller does it; whether anything was done."""
        self.now += seconds
        action = self.feed(
            policy.Looked(self.changed, self.at_work is not None, self.starting, self.playing, self.playback, 1 / 24, self.wanted_size)
        )
        reading = isinstance(action, policy.ReadRig)
        if reading:
            self.changed = False
            if self.rig is None:
                action = self.feed(policy.RigUnreadable(errors.Text("There is no rig.")))
            else:
                self.read = self.rig
                action = self.feed(policy.RigRead("portrait", self.rig, self.wanted_size))
        if isinstance(action, policy.Ask):
            assert reading or self.at_work is None, "a picture of a rig that rests is asked for beside another"
            self.submit((self.read, action))
        return reading or action is not None

    def submit(self, request):
        self.asks.append(request)
        if self.at_work is None:
            self.at_work = request
        else:
            self.waiting = request

    def answer(self, seconds=0.01):
        self.drawn = self.at_work
        _version, asked = self.at_work
        self.at_work, self.waiting = self.waiting, None
        self.feed(policy.Answered(asked.size or OWN, asked.full or OWN, seconds, self.wanted_size))

    def refuse(self, code="busy"):
        """An error; where the backend went away, the worker tries the newest once more."""
        error = errors.UserError(code, "It failed.", "Try again.")
        if code == "backend_gone":
            self.at_work, self.waiting = self.waiting or self.at_work, None
        else:
            self.at_work, self.waiting = self.waiting, None
        self.asks = []
        self.feed(policy.Refused(error, self.at_work is not None))
        return error

    def settle(self):
        """Nobody does anything any more, and all pictures come."""
        self.playing, self.starting = False, False
        for _ in range(20):
            self.look(1.0)
            if self.at_work is not None:
                self.answer()


@pytest.fixture
def world():
    """A view that shows its first picture."""
    world = World()
    world.start()
    world.look()
    world.answer()
    return world


def slow(world, size=OWN):
    """Pictures of this size are slow."""
    resolution = world.state.resolution
    for _ in range(3):
        resolution = resolution.measured(size, 0.5)
    world.state = dataclasses.replace(world.state, resolution=resolution)


def test_it_waits_then_follows():
    world = World()
    assert world.look() is False and world.state.mode is Mode.STOPPED
    world.start()
    assert world.state.mode is Mode.WAITING and str(world.state.status) == "Waiting for the first picture…"
    world.look()
    assert world.at_work == (0, policy.Ask(None, None))
    world.answer()
    assert world.state.mode is Mode.FOLLOWING and str(world.state.status) == "Follows the rig"
    world.edit()
    world.look()
    assert world.at_work == (1, policy.Ask(OWN, OWN))
    world.answer(0.02)
    assert str(world.state.status) == "20 ms per picture"
    world.feed(policy.Stopped())
    assert world.state == policy.LiveState()


def test_a_change_that_changes_nothing_asks_nothing(world):
    world.changed = True
    assert world.look() and not world.changed and world.at_work is None  # the rig was read, and is as it was


def test_a_coarse_picture_first_then_the_full_one(world):
    slow(world)
    world.edit()
    world.look()
    assert world.at_work == (1, policy.Ask(OWN // 2, OWN))
    world.look(1.0)
    assert world.waiting is None  # not beside another
    world.answer(0.02)
    assert world.state.mode is Mode.COARSE and "128 of 256 px" in str(world.state.status)
    world.look()
    assert world.at_work == (1, policy.Ask(OWN, OWN))
    world.answer(0.5)
    assert world.state.mode is Mode.FOLLOWING and not world.look(1.0)


def test_playback_that_is_too_fast_is_tried_now_and_then(world):
    slow(world, OWN)
    slow(world, OWN // 2)
    world.state = dataclasses.replace(world.state, answered_at=world.now)
    world.playing = True
    world.edit()
    world.look()
    assert world.state.mode is Mode.PAUSED and world.at_work is None and world.changed
    world.look(10.0)
    assert world.at_work is not None  # a trial
    world.edit()
    world.look()
    assert world.state.mode is Mode.PAUSED and "until it can follow" in str(world.state.status)
    world.answer(0.01)
    assert world.state.mode is Mode.PAUSED
    world.look()
    assert world.state.mode is Mode.FOLLOWING and world.at_work is not None


def test_a_pause_ends_with_playback(world):
    world.playing, world.playback = True, "PAUSE"
    world.edit()
    world.look(1000.0)
    assert world.state.mode is Mode.PAUSED and str(world.state.status) == "Paused during playback" and world.at_work is None
    world.rig, world.playing = 0, False  # back at the frame that is shown: there is nothing to ask for
    world.look()
    assert world.state.mode is Mode.FOLLOWING and "Paused" not in str(world.state.status)


def test_an_error_stays_until_there_is_a_picture(world):
    world.edit()
    world.look()
    error = world.refuse()
    assert world.state.mode is Mode.FAILED and world.state.status is error
    assert not world.look(10.0)  # nothing is tried again by itself
    world.changed = True  # whatever the edit is
    world.look()
    assert world.at_work is not None and world.state.status is error
    world.answer()
    assert world.state.mode is Mode.FOLLOWING


def test_a_rig_that_comes_back_is_shown_again(world):
    world.rig, world.changed = None, True
    world.look()
    assert world.state.mode is Mode.FAILED
    world.rig, world.changed = 0, True
    world.look()
    world.answer()
    assert world.state.mode is Mode.FOLLOWING


def test_what_is_told_of_a_backend_that_went_away_and_of_memory(world):
    world.edit()
    world.look()
    world.refuse("backend_gone")
    assert world.state.status == policy.RESTARTING and world.at_work is not None
    world.refuse("out_of_memory")
    assert "smaller size in the live view's settings" in str(world.state.status)


def test_a_long_wait_and_a_restart_are_told(world):
    world.edit()
    world.look()
    world.look(4.5)
    assert str(world.state.status) == "Waiting for a picture: 4 s" and world.state.mode is Mode.FOLLOWING
    world.starting = True
    world.look()
    assert world.state.status == policy.RESTARTING and world.state.mode is Mode.FAILED


def test_a_restart_is_told_while_the_hand_still_moves(world):
    world.starting = True
    for _ in range(3):
        world.edit()
        world.look()
    assert world.state.status == policy.RESTARTING and world.state.mode is Mode.FAILED
    world.starting = False
    world.answer()
    assert world.state.mode is Mode.FOLLOWING


class AnyOrder(RuleBasedStateMachine):
    """Edits, answers, errors, playback and settings in any order."""

    @initialize()
    def begin(self):
        self.world, self.failure = World(), None
        self.world.start()

    @rule()
    def edit(self):
        self.world.edit()

    @rule()
    def remove_the_rig(self):
        self.world.rig, self.world.changed, self.world.asks = None, True, []

    @rule(seconds=st.sampled_from((0.001, 0.02, 0.5, 5.0)))
    def look(self, seconds):
        self.world.look(seconds)
        if self.world.state.mode is not Mode.FAILED:
            assert self.failure is None

    @precondition(lambda self: self.world.at_work is not None)
    @rule(seconds=st.sampled_from((0.01, 0.09, 0.4, 3.0)))
    def answer(self, seconds):
        self.world.answer(seconds)
        self.failure = None
        assert self.world.state.mode in (Mode.FOLLOWING, Mode.COARSE, Mode.PAUSED)

    @precondition(lambda self: self.world.at_work is not None)
    @rule(code=st.sampled_from(("busy", "backend_gone", "out_of_memory")))
    def refuse(self, code):
        self.failure = self.world.refuse(code)

    @rule(playing=st.booleans(), playback=st.sampled_from(("AUTO", "FOLLOW", "PAUSE")))
    def play(self, playing, playback):
        self.world.playing, self.world.playback = playing, playback

    @rule(size=st.sampled_from((0, 100, 512)))
    def set_size(self, size):
        self.world.wanted_size, self.world.changed, self.world.asks = size, True, []

    @rule()
    def start_again(self):
        self.world.feed(policy.Stopped())
        assert self.world.state == policy.LiveState()
        self.failure, self.world.asks = None, []
        self.world.start()

    @invariant()
    def a_failure_is_shown(self):
        if self.failure is not None:
            assert self.world.state.mode is Mode.FAILED and self.world.state.status is not None

    @invariant()
    def an_edit_is_asked_for_twice_at_most(self):
        """Coarse and full; and before it is read, what was shown coarse until then may be asked for in full."""
        assert len(self.world.asks) <= 3

    def teardown(self):
        """The newest rig is shown, whole, and then there is nothing more to do."""
        world = self.world
        if world.rig is None:
            world.edit()
        world.changed = True
        world.settle()
        assert world.state.mode is Mode.FOLLOWING and world.state.status is not None
        version, asked = world.drawn
        assert version == world.rig and asked.size == asked.full
        assert not any(world.look(seconds) for seconds in (0.001, 0.1, 10.0, 1000.0))


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def test_the_size_while_the_rig_moves():
    resolution = AdaptiveResolution()
    assert resolution.interactive_size(512) == 512 and resolution.backoff(512, 1 / 24) == 0
    resolution = resolution.measured(512, 0.09)
    assert resolution.interactive_size(512) == 512 and resolution.backoff(512, 1 / 24) > 0
    resolution = resolution.measured(512, 0.4)
    assert resolution.interactive_size(512) == 512  # may be a hiccup
    resolution = resolution.measured(512, 0.4)
    assert resolution.interactive_size(512) == 256  # to be tried
    resolution = resolution.measured(256, 0.2)
    assert resolution.interactive_size(512) == 128
    resolution = resolution.measured(128, 0.07)
    assert resolution.interactive_size(512) == 128 and resolution.backoff(512, 1 / 24) == 0 and resolution.backoff(512, 1 / 60) > 0
    assert resolution.measured(512, 0.05).measured(512, 0.05).interactive_size(512) == 512


def test_the_pace_of_playback():
    """One slow picture changes nothing; then trials with rests, at once after a quick one, until two of three are quick."""
    resolution = AdaptiveResolution()
    seconds = (0.03, 0.03, 0.3, 0.3, 0.03, 0.5, 0.03, 0.03, 0.3)
    rests = (False, False, False, True, False, True, False, False, False)
    for taken, expected in zip(seconds, rests, strict=True):
        resolution = resolution.measured(64, taken)
        assert (resolution.backoff(64, 1 / 24) > 0) == expected
    resolution = resolution.measured(64, 0.4)
    assert math.isclose(resolution.backoff(64, 1 / 24), 4.0)  # trials take a tenth of the time at most
    assert resolution.measured(64, 0.1).backoff(64, 1 / 24) == 2.0


def test_where_coarse_pictures_are_not_quicker_the_full_size_is_used():
    resolution = AdaptiveResolution().measured(512, 0.4).measured(256, 0.39)
    assert resolution.interactive_size(512) == 512
    resolution = AdaptiveResolution().measured(512, 0.4).measured(256, 0.2).measured(128, 0.19)
    assert resolution.interactive_size(512) == 256
    assert resolution.measured(100, 0.5).interactive_size(100) == 100  # below that, a face says nothing
