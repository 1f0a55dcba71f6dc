"""What w says on guide maps, in one pass over memory, compiled by numba: ``GuidedSynthesisNetwork.told`` on a processor.

An image is (H, W, C), all channels of a pixel together. As in ``kernels.py`` indices in inner loops are unsigned.
"""

from __future__ import annotations

import math

import numpy as np

from models.compiling import compiled
from models.generators import guide
from models.generators.guided import LEAST_SHARE, PALETTE
from models.generators.planes import AXES, SPREAD
from models.generators.strands import (
    EAR,
    EAR_EDGE,
    EAR_SIZE,
    FACE_EDGE,
    FACE_TOP,
    FACE_TURN,
    HIGHEST,
    LOWEST,
    OCTAVES,
    SHARPEST,
)

SHOULDERS, LIGHT, SHELL_LIGHT = (part.start for part in (guide.SHOULDERS, guide.LIGHT, guide.SHELL_LIGHT))
COVERED, POINT, SHELL_COVERED, SHELL_POINT = (part.start for part in (guide.COVERED, guide.POINT, guide.SHELL_COVERED, guide.SHELL_POINT))
COLOURED = 3 * len(PALETTE)  # channels of clothes and hair in their colours
PLANES = np.array(AXES)
_0, _HALF, _1, _2, _LEAST, _SPREAD = (np.float32(value) for value in (0, 0.5, 1, 2, LEAST_SHARE, SPREAD))
STRANDS = np.array(OCTAVES, np.float32)
_HIGHEST, _DOWN, _TURN, _FADE = (np.float32(value) for value in (HIGHEST, 1 / (HIGHEST - LOWEST), 0.5 / math.pi, 2 / SHARPEST))
_FACE_TURN, _FACE_TOP, _FACE_EDGE = (np.float32(value) for value in (FACE_TURN, FACE_TOP, FACE_EDGE))
_EAR_Y, _EAR_Z, _EAR_HIGH, _EAR_DEEP, _EAR_EDGE = (np.float32(value) for value in (*EAR, *EAR_SIZE, EAR_EDGE))


@compiled
def paint_person(maps, colours, planes, coarse, told, first, last):
    """Write rows ``first`` to ``last`` of ``told`` (R, R, G + COLOURED + 2 F): the maps (R, R, G), clothes and hair in their colours (3, 3),
    and what ``planes`` (3, P, P, F) say of the head's surface and of the shell.

    With ``coarse``, the same at half the size, the shell's are those in it, enlarged; one of no size is none.
    """
    size, given, features = np.uintp(maps.shape[1]), np.uintp(maps.shape[2]), planes.shape[3]
    near, far = maps.shape[2] + COLOURED, maps.shape[2] + COLOURED + features
    for row in range(first, last):
        for column in range(size):
            pixel, out = maps[row, column], told[row, column]
            for channel in range(given):
                out[channel] = pixel[channel]
            for place in range(3):
                cloth = pixel[SHOULDERS] * pixel[LIGHT + place]
                out[given + np.uintp(place)] = colours[0, place] * cloth
                out[given + np.uintp(3 + place)] = colours[1, place] * cloth
                out[given + np.uintp(6 + place)] = colours[2, place] * pixel[SHELL_LIGHT + place]
            read_planes(planes, pixel[POINT : POINT + 3], pixel[COVERED], out[near : near + features])
            if coarse.shape[0] == 0:
                read_planes(planes, pixel[SHELL_POINT : SHELL_POINT + 3], pixel[SHELL_COVERED], out[far : far + features])
            else:
                enlarge(coarse[:, :, far : far + features], row, column, out[far : far + features])


@compiled
def read_planes(planes, point, share, out):
    """Write ``share`` times the sum of what stands on the planes at a point, given times the share, as ``Planes.read`` and ``guided.read``."""
    for feature in range(np.uintp(len(out))):
        out[feature] = _0
    if share == _0:
        return
    side = planes.shape[1]
    most = np.float32(side - 1)
    for plane in range(3):
        of = max(share, _LEAST)
        across = place_on(point[PLANES[plane, 0]] / of, side, most)
        down = place_on(point[PLANES[plane, 1]] / of, side, most)
        left, top = int(across), int(down)
        right, bottom = min(left + 1, side - 1), min(top + 1, side - 1)
        x, y = across - np.float32(left), down - np.float32(top)
        a, b, c, d = (_1 - x) * (_1 - y) * share, x * (_1 - y) * share, (_1 - x) * y * share, x * y * share
        one, two, three, four = (
            planes[plane, top, left],
            planes[plane, top, right],
            planes[plane, bottom, left],
            planes[plane, bottom, right],
        )
        for feature in range(np.uintp(len(out))):
            out[feature] += a * one[feature] + b * two[feature] + c * three[feature] + d * four[feature]


@compiled
def place_on(value, side, most):
    """Where a coordinate, in half heads, lies on a plane of ``side`` pixels, from 0 to ``most``."""
    on = _SPREAD * value / (_1 + abs(value))
    return min(max(((on + _1) * np.float32(side) - _1) * _HALF, _0), most)


@compiled
def enlarge(image, row, column, out):
    """Write what a pixel of the doubled ``image`` (S, S, C) shows, between the pixels linearly."""
    most = image.shape[0] - 1
    down, across = max((np.float32(row) - _HALF) * _HALF, _0), max((np.float32(column) - _HALF) * _HALF, _0)
    top, left = int(down), int(across)
    bottom, right = min(top + 1, most), min(left + 1, most)
    x, y = across - np.float32(left), down - np.float32(top)
    a, b, c, d = (_1 - x) * (_1 - y), x * (_1 - y), (_1 - x) * y, x * y
    one, two, three, four = image[top, left], image[top, right], image[bottom, left], image[bottom, right]
    for channel in range(np.uintp(len(out))):
        out[channel] = a * one[channel] + b * two[channel] + c * three[channel] + d * four[channel]


@compiled
def comb(maps, pattern, gains, picture, hair, top, left, right, first, last):
    """Make hair of strands in rows ``top + first`` to ``top + last`` and columns ``left`` to ``right`` of a picture (C, R, R), in place, as
    ``GuidedSynthesisNetwork.with_strands``: maps (R, R, G), the ``pattern`` (ROWS, L, O), its ``gains`` (O,), the channel of the hair's matte.
    """
    for row in range(top + first, top + last):
        for column in range(left, right):
            share = maps[row, column, SHELL_COVERED]
            matte = min(max(picture[hair, row, column] * _HALF + _HALF, _0), _1)
            if share == _0 or matte == _0:
                continue
            detail = strand(maps, pattern, gains, row, column) * share * matte
            for channel in range(3):
                picture[channel, row, column] += (picture[channel, row, column] + _1) * detail


@compiled
def strand(maps, pattern, gains, row, column):
    """How much brighter the strands make the shell at a pixel, as ``Strands.read`` and its gains say."""
    most = maps.shape[0] - 1
    of = max(maps[row, column, SHELL_COVERED], _LEAST)
    height, depth = maps[row, column, SHELL_POINT + 1] / of, maps[row, column, SHELL_POINT + 2] / of
    turn = np.float32(math.atan2(maps[row, column, SHELL_POINT] / of, depth))
    ear = math.hypot((height - _EAR_Y) / _EAR_HIGH, (depth - _EAR_Z) / _EAR_DEEP)
    shown = min(max(max(abs(turn) - _FACE_TURN, height - _FACE_TOP) / _FACE_EDGE, _0), _1)
    shown *= min(max((np.float32(ear) - _1) / _EAR_EDGE, _0), _1)
    if shown == _0:
        return _0
    width = max(apart(maps, row, column, row, min(column + 1, most)), apart(maps, row, column, min(row + 1, most), column)) * _TURN
    rows, around = pattern.shape[0] - 1, pattern.shape[1] - 1
    across = (turn * _TURN + _HALF) * np.float32(around)
    down = min(max((_HIGHEST - height) * _DOWN, _0), _1) * np.float32(rows)
    left, top = min(max(int(across), 0), around), int(down)
    right, bottom = min(left + 1, around), min(top + 1, rows)
    x, y = across - np.float32(left), down - np.float32(top)
    found = _0
    for octave in range(np.uintp(len(gains))):
        above = (_1 - x) * pattern[top, left, octave] + x * pattern[top, right, octave]
        below = (_1 - x) * pattern[bottom, left, octave] + x * pattern[bottom, right, octave]
        fade = min(max(_2 - _FADE * STRANDS[octave] * width, _0), _1)
        found += gains[octave] * ((_1 - y) * above + y * below) * fade
    return found * shown


@compiled
def apart(maps, row, column, other_row, other_column):
    """How far, in radians, the shell's places at two pixels are apart round the head, as ``strands.widths``."""
    x, z = ahead(maps, row, column)
    other_x, other_z = ahead(maps, other_row, other_column)
    return np.float32(math.hypot(other_x - x, other_z - z))


@compiled
def ahead(maps, row, column):
    """x and z of the shell's place at a pixel, of length 1; 0 where it is on the axis or nowhere."""
    of = max(maps[row, column, SHELL_COVERED], _LEAST)
    x, z = maps[row, column, SHELL_POINT] / of, maps[row, column, SHELL_POINT + 2] / of
    length = max(np.float32(math.hypot(x, z)), np.float32(1e-12))
    return x / length, z / length
