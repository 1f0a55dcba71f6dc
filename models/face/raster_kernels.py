"""Which triangle each pixel sees, compiled by numba: what ``fragments.visible_triangles`` computes, for float32 on a processor.

Importing this raises ImportError where numba cannot compile (see ``models.compiling``).
"""

from __future__ import annotations

import math

import numpy as np

from models.compiling import compiled

_0, _HALF, _1 = np.float32(0), np.float32(0.5), np.float32(1)


@compiled
def nearest_triangles(points, drawn, inside, nearest, inverse_depth):
    """Write the nearest triangle of each pixel's centre into ``nearest`` (N, H, H) int64, which holds -1 where there is none.

    ``points`` (3, 3, N, F) are the corners' x, y (pixels) and depth (cm), ``drawn`` (N, F) says which triangles are drawn; ``inside`` is how
    far below 0 a barycentric may be. ``inverse_depth`` (N, H, H) holds 0 to begin with. Of triangles as near the last is seen.
    """
    frames, size = nearest.shape[0], nearest.shape[1]
    for frame in range(frames):
        for triangle in range(points.shape[3]):
            if drawn[frame, triangle]:
                draw_triangle(points, frame, triangle, inside, nearest, inverse_depth, size)


@compiled
def draw_triangle(points, frame, triangle, inside, nearest, inverse_depth, size):
    """One triangle of ``nearest_triangles``, row by row: an edge bounds a row on the left where its barycentric grows to the right."""
    x0, x1, x2 = points[0, 0, frame, triangle], points[0, 1, frame, triangle], points[0, 2, frame, triangle]
    y0, y1, y2 = points[1, 0, frame, triangle], points[1, 1, frame, triangle], points[1, 2, frame, triangle]
    z0, z1, z2 = points[2, 0, frame, triangle], points[2, 1, frame, triangle], points[2, 2, frame, triangle]
    left = int(min(max(math.ceil(min(x0, x1, x2) - _HALF), 0), size))
    right = int(min(max(math.floor(max(x0, x1, x2) - _HALF), -1), size - 1))
    top = int(min(max(math.ceil(min(y0, y1, y2) - _HALF), 0), size))
    bottom = int(min(max(math.floor(max(y0, y1, y2) - _HALF), -1), size - 1))
    if right < left or bottom < top:
        return
    across, down = np.float32(left) + _HALF, np.float32(top) + _HALF
    x0, x1, x2, y0, y1, y2 = x0 - across, x1 - across, x2 - across, y0 - down, y1 - down, y2 - down
    start0, start1, start2 = x1 * y2 - y1 * x2, x2 * y0 - y2 * x0, x0 * y1 - y0 * x1
    area = start0 + start1 + start2
    start0, start1, start2 = start0 / area, start1 / area, start2 / area
    right0, right1, right2 = (y1 - y2) / area, (y2 - y0) / area, (y0 - y1) / area
    down0, down1, down2 = (x2 - x1) / area, (x0 - x2) / area, (x1 - x0) / area
    step = right0 / z0 + right1 / z1 + right2 / z2
    below = down0 / z0 + down1 / z1 + down2 / z2
    origin = start0 / z0 + start1 / z1 + start2 / z2
    for row in range(bottom - top + 1):
        low, high, at_row = _0, np.float32(right - left), np.float32(row)
        for growth, fall, begin in ((right0, down0, start0), (right1, down1, start1), (right2, down2, start2)):
            value = begin + fall * at_row - inside
            if growth > _0:
                low = max(low, -value / growth)
            elif growth < _0:
                high = min(high, -value / growth)
            elif value < _0:
                high = -_1
        for column in range(math.ceil(low), math.floor(high) + 1):
            near = max(origin + below * at_row + step * np.float32(column), _0)
            if near >= inverse_depth[frame, top + row, left + column]:
                inverse_depth[frame, top + row, left + column] = near
                nearest[frame, top + row, left + column] = triangle


@compiled
def paint(planes, triangles, nearest, attributes, maps, first, samples):
    """Write vertex attributes (N, V, C) into the channels of ``maps`` (N, H, H, T) from ``first`` on, where pixels see a triangle.

    Each pixel gets the mean of ``samples``² points in it, of which those that see nothing count as 0. ``planes`` (3, N, V) are the vertices'
    x, y and depth (cm) in pixels of ``nearest`` (N, H · samples, H · samples), what ``nearest_triangles`` found.
    """
    share = _1 / np.float32(samples * samples)
    for frame in range(maps.shape[0]):
        for row in range(maps.shape[1]):
            for column in range(maps.shape[2]):
                pixel, empty = maps[frame, row, column, first : first + attributes.shape[2]], True
                for down in range(row * samples, (row + 1) * samples):
                    for across in range(column * samples, (column + 1) * samples):
                        triangle = nearest[frame, down, across]
                        if triangle < 0:
                            continue
                        if empty:
                            pixel[:] = _0
                            empty = False
                        add_point(planes[:, frame], triangles[triangle], attributes[frame], across, down, share, pixel)


@compiled
def add_point(planes, corners, attributes, column, row, share, pixel):
    """Add ``share`` of what the centre of a pixel sees of a triangle of those ``corners`` (3,), as
    ``fragments.perspective_barycentrics``: in the picture the barycentrics over depth are linear, not they themselves."""
    a, b, c = corners[0], corners[1], corners[2]
    across, down = np.float32(column) + _HALF, np.float32(row) + _HALF
    x0, x1, x2 = planes[0, a] - across, planes[0, b] - across, planes[0, c] - across
    y0, y1, y2 = planes[1, a] - down, planes[1, b] - down, planes[1, c] - down
    w0, w1, w2 = (x1 * y2 - y1 * x2) / planes[2, a], (x2 * y0 - y2 * x0) / planes[2, b], (x0 * y1 - y0 * x1) / planes[2, c]
    each = share / (w0 + w1 + w2)
    w0, w1, w2 = w0 * each, w1 * each, w2 * each
    of_a, of_b, of_c = attributes[a], attributes[b], attributes[c]
    for channel in range(np.uintp(len(pixel))):
        pixel[channel] += w0 * of_a[channel] + w1 * of_b[channel] + w2 * of_c[channel]
