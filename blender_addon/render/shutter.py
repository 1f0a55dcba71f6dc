"""The scene's shutter: at which moments of a frame its motion blur draws portraits."""

from __future__ import annotations

import math

import bpy

from ..protocol import exposure

CURVE_STEPS = 64  # in which a shutter curve is read


def moments(scene: bpy.types.Scene) -> list[tuple[int, float]]:
    """Frames and subframes (0 to 1) while the shutter is open at the present frame; none where nothing is to be blurred."""
    now = scene.frame_current + scene.frame_subframe
    return [(math.floor(now + offset), (now + offset) % 1) for offset in offsets(scene)]


def offsets(scene: bpy.types.Scene) -> list[float]:
    """The same from any frame's own time, in frames."""
    found = settings(scene)
    return exposure.offsets(**found) if found else []


def settings(scene: bpy.types.Scene) -> dict | None:
    """What ``exposure.offsets`` is told; None without motion blur."""
    render, samples = scene.render, scene.stylerig.motion_samples
    if not render.use_motion_blur or samples < 2 or render.motion_blur_shutter <= 0:
        return None
    said = {"samples": samples, "shutter": render.motion_blur_shutter, "position": render.motion_blur_position}
    return said | {"curve": curve_of(render.motion_blur_shutter_curve)}


def curve_of(mapping: bpy.types.CurveMapping) -> list[float]:
    """A shutter curve at even steps; [] for one that is flat, as it is at first."""
    mapping.initialize()
    openness = [max(mapping.evaluate(mapping.curves[0], step / CURVE_STEPS), 0.0) for step in range(CURVE_STEPS + 1)]
    return openness if max(openness) - min(openness) > 1e-4 else []
