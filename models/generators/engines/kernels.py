"""The work between two convolutions in one pass over memory, compiled by numba.

A feature map is a contiguous array (H, W, C), C a multiple of LANES or CHUNK, of float32 or of bfloat16
kept as uint16. Each kernel takes a convolution's raw result, does everything up to the next
convolution, and stores that one's input, already scaled by its style, so that every number is
read once and written once. Work is cut into tiles that stay in the processor's cache; a call
does the rows or tiles from ``first`` to ``last``, without Python's lock, so that threads share it.

Indices in inner loops are unsigned: numba then leaves out its check for negative ones, which
would keep the loops from being vectorised.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from models.compiling import compiled

LANES = 16  # StyleGAN2's channels come in multiples of it: one vector of 512 bits, two of 256
CHUNK = 32  # channels of a tile of StyleGAN3, whose own come in multiples of it: two cache lines
STRIP = 160  # most columns of a tile
BAND = 320  # most rows of a tile
SUMS = 64  # of products at a time
WORK = 4096  # numbers of a row at a time
TAPS = 6  # of one phase of StyleGAN3's filters, and half of its down-sampling ones

_0, _1, _2, _3, _4, _8 = (np.uintp(number) for number in (0, 1, 2, 3, 4, 8))
_C1, _C2, _C3, _C4, _C5 = (np.uintp(CHUNK * number) for number in range(1, 6))


def load(array, index):
    """The number at ``index`` as float32; only numba calls this."""


def store(array, index, value):
    """Round ``value`` into the array; only numba calls this."""


@overload(load, inline="always")
def _load(array, index):
    if array.dtype == types.uint16:
        return lambda array, index: np.uint32(np.uint32(array[index]) << np.uint32(16)).view(np.float32)
    return lambda array, index: array[index]


@overload(store, inline="always")
def _store(array, index, value):
    def store_bfloat16(array, index, value):  # to the nearest, ties to even
        bits = np.float32(value).view(np.uint32)
        odd = np.uint32(bits >> np.uint32(16)) & np.uint32(1)
        array[index] = np.uint16(np.uint32(bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))

    def store_float32(array, index, value):
        array[index] = value

    return store_bfloat16 if array.dtype == types.uint16 else store_float32


@compiled
def limited(value, slope, clamp):
    """Leaky ReLU, then limited to +-clamp."""
    value = max(value, value * slope)
    return min(max(value, -clamp), clamp)


@compiled
def dot_rows(weights, starts, counts, x, x_starts, out, first, last):
    """out[row] = weights[starts[row] :] . x[x_starts[row] :] over counts[row] numbers: matrices of many sizes."""
    sums = np.empty(SUMS, np.float32)  # side by side, else each addition would wait for the one before
    for row in range(first, last):
        part, values, count = weights[starts[row] :], x[x_starts[row] :], np.uintp(counts[row])
        sums[:] = np.float32(0)
        whole = count - count % np.uintp(SUMS)
        for i in range(_0, whole, np.uintp(SUMS)):
            for lane in range(np.uintp(SUMS)):
                sums[lane] += part[i + lane] * values[i + lane]
        total = np.float32(0)
        for lane in range(np.uintp(SUMS)):
            total += sums[lane]
        for i in range(whole, count):
            total += part[i] * values[i]
        out[row] = total


# StyleGAN2 ---------------------------------------------------------------------------------


@compiled
def activate_rows(x, top, scale, bias, noise, after, out, colours, colour_bias, before, image, settings, colour_clamp, first, last):
    """x (h, W, C), the rows from ``top`` on, -> the same of out (H, W, C) and image (G, H, W, 4).

    value = clamp(leaky_relu(x * scale + noise + bias)); out = value * after, for the next convolution;
    image = clamp(value . colours (G, 4, C) + colour_bias (G, 4)) + the image ``before`` (G, H / 2, W / 2, 4) at
    twice its size. An empty ``out`` or ``before`` is left out. ``noise`` is (H, W), or (H, W, C). settings: slope, clamp.
    """
    _, width, channels = x.shape
    flat_x, flat_out = x.reshape(-1), out.reshape(-1)
    strip = max(WORK // channels, 4)
    values = np.empty(strip * channels, np.float32)
    line = np.empty((width // 2 + 2) * 4, np.float32)
    for row in range(top + first, top + last):
        for group in range(len(image)):
            upsample_row(before[group], row, line, image[group, row].reshape(-1))
        for start in range(0, width, strip):
            stop = min(start + strip, width)
            source = flat_x[((row - top) * width + start) * channels :]
            activate_columns(source, scale, bias, noise[row, start:stop], settings, values)
            if out.size:
                scale_columns(values, after, stop - start, flat_out[(row * width + start) * channels :])
            for group in range(len(image)):
                add_colours(values, channels, colours[group], colour_bias[group], colour_clamp, image[group, row, start:stop])


@compiled
def activate_columns(x, scale, bias, noise, settings, values):
    """clamp(leaky_relu(x * scale + noise + bias)) of one column of all channels after another."""
    slope, clamp = settings[0], settings[1]
    place, count = _0, np.uintp(len(scale))
    if noise.ndim == 2:
        for column in range(len(noise)):
            offsets = noise[column]
            for c in range(count):
                values[place + c] = limited(load(x, place + c) * scale[c] + (bias[c] + offsets[c]), slope, clamp)
            place += count
    else:
        for column in range(len(noise)):
            offset = noise[column]
            for c in range(count):
                values[place + c] = limited(load(x, place + c) * scale[c] + bias[c] + offset, slope, clamp)
            place += count


@compiled
def scale_columns(values, after, columns, out):
    place, count = _0, np.uintp(len(after))
    for _ in range(columns):
        for c in range(count):
            store(out, place + c, values[place + c] * after[c])
        place += count


@compiled
def add_colours(values, channels, colours, colour_bias, clamp, image):
    """image (columns, 4) += the values of each column times colours (4, C), shifted and limited."""
    place, count = _0, np.uintp(channels)
    b0, b1, b2, b3 = colour_bias[0], colour_bias[1], colour_bias[2], colour_bias[3]
    for column in range(len(image)):
        c0 = c1 = c2 = c3 = np.float32(0)
        for c in range(count):
            value = values[place + c]
            c0 += value * colours[_0, c]
            c1 += value * colours[_1, c]
            c2 += value * colours[_2, c]
            c3 += value * colours[_3, c]
        place += count
        image[column, 0] += min(max(c0 + b0, -clamp), clamp)
        image[column, 1] += min(max(c1 + b1, -clamp), clamp)
        image[column, 2] += min(max(c2 + b2, -clamp), clamp)
        image[column, 3] += min(max(c3 + b3, -clamp), clamp)


@compiled
def upsample_row(before, row, line, result):
    """Row ``row`` of the image (H, W, 4) at twice its size by the filter [1, 3, 3, 1], zeros outside."""
    if not before.size:
        result[:] = np.float32(0)
        return
    near, far = row // 2, row // 2 + (1 if row % 2 else -1)
    weight = np.float32(0.25) if 0 <= far < len(before) else np.float32(0)
    x0, x1 = before[near].reshape(-1), before[far if weight else near].reshape(-1)
    line[:4], line[-4:] = np.float32(0), np.float32(0)
    inner = line[4:]
    for i in range(np.uintp(len(x0))):
        inner[i] = np.float32(0.75) * x0[i] + weight * x1[i]
    source, target = _0, _0
    for _ in range(before.shape[1]):
        for c in range(_4):
            here = np.float32(0.75) * line[source + _4 + c]
            result[target + c] = np.float32(0.25) * line[source + c] + here
            result[target + _4 + c] = here + np.float32(0.25) * line[source + _8 + c]
        source += _4
        target += _8


@compiled
def blur_rows(even_even, even_odd, odd_even, odd_odd, rows, scale, bias, noise, after, out, settings, first, last):
    """The four phases of a stride-2 transposed convolution -> out (2H, 2W, C), blurred and activated.

    ``even_odd`` (…, W, C) holds even rows and odd columns of the transposed convolution's result,
    and so on. out = clamp(leaky_relu(blur * scale + noise + bias)) * after. rows: the first row of
    out to make, the first even and odd rows that the phases hold, and H.
    """
    _, columns, channels = odd_odd.shape
    strip = max(WORK // channels, 4)
    even, odd = np.empty((strip + 1) * channels, np.float32), np.empty((strip + 2) * channels, np.float32)
    left, right = np.empty(strip * channels, np.float32), np.empty(strip * channels, np.float32)
    for row in range(rows[0] + first, rows[0] + last):
        flat = out[row].reshape(-1)
        for start in range(0, columns, strip):
            stop = min(start + strip, columns)
            blur_vertically(even_even, odd_even, row, rows, start, stop + 1, even)
            low, high = max(start - 1, 0), min(stop + 1, columns)
            odd[:channels] = np.float32(0)
            blur_vertically(even_odd, odd_odd, row, rows, low, high, odd[(low - start + 1) * channels :])
            if high == stop:
                odd[(stop - start + 1) * channels : (stop - start + 2) * channels] = np.float32(0)
            blur_horizontally(even, odd, (stop - start) * channels, channels, left, right)
            target, above = flat[2 * start * channels :], noise[row]
            activate_second(left, scale, bias, above[2 * start : 2 * stop : 2], after, settings, target)
            activate_second(right, scale, bias, above[2 * start + 1 : 2 * stop : 2], after, settings, target[channels:])


@compiled
def blur_vertically(even, odd, row, rows, start, stop, result):
    """Row ``row`` of the blurred rows, columns start to stop, not yet blurred along the row."""
    near = row // 2
    # Of an even row 2n the filter takes odd n - 1, even n, odd n, even n + 1; of 2n + 1 even n, odd n,
    # even n + 1, odd n + 1; by 1/4, 3/4, 3/4, 1/4.
    far = near + 1 if row % 2 else near - 1
    e0, e1 = (np.float32(0.25), np.float32(0.75)) if row % 2 else (np.float32(0.75), np.float32(0.25))
    o0, o1 = np.float32(0.75), np.float32(0.25)
    if not 0 <= far < rows[3]:
        far, o1 = near, np.float32(0)
    x0, x1 = even[near - rows[1], start:].reshape(-1), even[near + 1 - rows[1], start:].reshape(-1)
    x2, x3 = odd[near - rows[2], start:].reshape(-1), odd[far - rows[2], start:].reshape(-1)
    for i in range(np.uintp((stop - start) * even.shape[2])):
        result[i] = e0 * load(x0, i) + e1 * load(x1, i) + o0 * load(x2, i) + o1 * load(x3, i)


@compiled
def blur_horizontally(even, odd, count, channels, left, right):
    """Two columns for each: the full columns 2n - 1 … 2n + 2 and 2n … 2n + 3 by [1, 3, 3, 1] / 4."""
    quarter, most = np.float32(0.25), np.float32(0.75)
    next_even, here, behind = even[channels:], odd[channels:], odd[2 * channels :]
    for i in range(np.uintp(count)):
        left[i] = quarter * (odd[i] + next_even[i]) + most * (even[i] + here[i])
        right[i] = quarter * (even[i] + behind[i]) + most * (here[i] + next_even[i])


@compiled
def activate_second(x, scale, bias, noise, after, settings, out):
    """activate_columns of x times ``after``, into every second column of ``out``."""
    slope, clamp = settings[0], settings[1]
    source, target, count = _0, _0, np.uintp(len(scale))
    if noise.ndim == 2:
        for column in range(len(noise)):
            offsets = noise[column]
            for c in range(count):
                value = limited(x[source + c] * scale[c] + (bias[c] + offsets[c]), slope, clamp)
                store(out, target + c, value * after[c])
            source += count
            target += count + count
    else:
        for column in range(len(noise)):
            offset = noise[column]
            for c in range(count):
                value = limited(x[source + c] * scale[c] + bias[c] + offset, slope, clamp)
                store(out, target + c, value * after[c])
            source += count
            target += count + count


# StyleGAN3 ---------------------------------------------------------------------------------


@compiled
def parts(length, most):
    """How many equal parts have at most ``most`` each."""
    return (length + most - 1) // most


@compiled
def filter_tiles(x, scale, bias, after, up_taps, down_taps, geometry, settings, out, first, last):
    """x (H, W, C) -> out (h, w, C): clamp(leaky_relu(up(x * scale + bias))), down, * after.

    ``up_taps`` (up, TAPS) holds the filter's phases, ``down_taps`` (2 TAPS,) or (2 TAPS, 2 TAPS) is
    mirrored already. geometry: where the first up-sampled row and column lie.
    """
    rows, columns, channels = out.shape
    chunks, bands, strips = channels // CHUNK, parts(rows, BAND), parts(columns, STRIP)
    for tile in range(first, last):
        place, channel = tile // chunks, tile % chunks * CHUNK
        band, strip = place // strips, place % strips
        box = (rows * band // bands, rows * (band + 1) // bands,
               columns * strip // strips, columns * (strip + 1) // strips, channel)  # fmt: skip
        vectors = scale[channel:], bias[channel:], after[channel:]
        if down_taps.ndim == 1:
            filter_tile(x, vectors, up_taps, down_taps, geometry, settings, out, box)
        else:
            filter_tile_radially(x, vectors, up_taps, down_taps, geometry, settings, out, box)


@compiled
def filter_tile(x, vectors, up_taps, down_taps, geometry, settings, out, box):
    """The rows and columns ``box`` of one chunk of channels."""
    top, bottom, left, right, channel = box
    width = right - left
    base, even, odd, start, low = working_rows(left, width, len(up_taps), geometry)
    ring = np.empty((2 * TAPS, width * CHUNK), np.float32)
    for count in range(2 * (bottom - top) + 2 * TAPS - 2):
        raise_row(x, 2 * top + count - geometry[0], low, channel, vectors, up_taps, base)
        raise_columns(base, start, low, up_taps, settings, even, odd, width + TAPS - 1)
        lower_columns(even, odd, width, down_taps, ring[count % (2 * TAPS)])
        begin = count - (2 * TAPS - 1)
        if begin >= 0 and begin % 2 == 0:
            lower_rows(ring, begin % (2 * TAPS), down_taps, vectors[2], width, out, top + begin // 2, left, channel)


@compiled
def filter_tile_radially(x, vectors, up_taps, down_taps, geometry, settings, out, box):
    """filter_tile for a filter of 2 TAPS x 2 TAPS that is no product of two."""
    top, bottom, left, right, channel = box
    width = right - left
    base, _, _, start, low = working_rows(left, width, len(up_taps), geometry)
    even = np.empty((2 * TAPS, (width + TAPS) * CHUNK), np.float32)
    odd = np.empty((2 * TAPS, (width + TAPS) * CHUNK), np.float32)
    part, total = np.empty(width * CHUNK, np.float32), np.empty(width * CHUNK, np.float32)
    for count in range(2 * (bottom - top) + 2 * TAPS - 2):
        place = count % (2 * TAPS)
        raise_row(x, 2 * top + count - geometry[0], low, channel, vectors, up_taps, base)
        raise_columns(base, start, low, up_taps, settings, even[place], odd[place], width + TAPS - 1)
        begin = count - (2 * TAPS - 1)
        if begin >= 0 and begin % 2 == 0:
            total[:] = np.float32(0)
            for tap in range(2 * TAPS):
                place = (begin + tap) % (2 * TAPS)
                lower_columns(even[place], odd[place], width, down_taps[tap], part)
                total += part
            row = out[top + begin // 2, left:].reshape(-1)[channel:]
            store_columns(total, vectors[2], width, out.shape[2], row)


@compiled
def working_rows(left, width, up, geometry):
    """Memory for a row at the base rate and the two halves of an up-sampled one; where these begin."""
    half = width + TAPS - 1  # up-sampled columns of one parity
    start = 2 * left - geometry[1]
    low = start // up - (TAPS - 1)
    columns = (start + 2 * half - 1) // up - low + 1
    even, odd = np.empty((half + 1) * CHUNK, np.float32), np.empty((half + 1) * CHUNK, np.float32)
    return np.zeros(columns * CHUNK, np.float32), even, odd, start, low


@compiled
def raise_row(x, row, low, channel, vectors, up_taps, base):
    """Up-sampled row ``row`` at the base rate along the row, from column ``low``: scaled, shifted, zeros outside."""
    up, gain, shift = len(up_taps), vectors[0], vectors[1]
    start, stop = max(low, 0), min(low + len(base) // CHUNK, x.shape[1])
    phase, last = row % up, row // up
    taps, starts = np.empty(TAPS, np.float32), np.empty(TAPS, np.int64)
    total = np.float32(0)
    for t in range(TAPS):
        valid = 0 <= last - t < x.shape[0]
        taps[t] = up_taps[phase, t] if valid else np.float32(0)
        starts[t] = (((last - t) if valid else 0) * x.shape[1] + start) * x.shape[2] + channel
        total += taps[t]
    flat = x.reshape(-1)
    x0, x1, x2 = flat[starts[0] :], flat[starts[1] :], flat[starts[2] :]
    x3, x4, x5 = flat[starts[3] :], flat[starts[4] :], flat[starts[5] :]
    t0, t1, t2, t3, t4, t5 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    source, target, stride = _0, np.uintp((start - low) * CHUNK), np.uintp(x.shape[2])
    for _ in range(stop - start):
        for c in range(_C1):
            i = source + c
            value = t0 * load(x0, i) + t1 * load(x1, i) + t2 * load(x2, i)
            value += t3 * load(x3, i) + t4 * load(x4, i) + t5 * load(x5, i)
            base[target + c] = value * gain[c] + shift[c] * total
        source += stride
        target += _C1


@compiled
def raise_columns(base, start, low, up_taps, settings, even, odd, half):
    """The up-sampled columns, activated: those at an even distance from the first, and the others."""
    up = len(up_taps)
    step = up // 2
    for parity, result in ((0, even), (1, odd)):
        for place in range(step):
            column = start + parity + 2 * place
            begin = (column // up - (TAPS - 1) - low) * CHUNK
            count = (half - place + step - 1) // step
            raise_phase(base[begin:], up_taps[column % up], settings, result[place * CHUNK :], count, step)


@compiled
def raise_phase(base, taps, settings, result, count, step):
    """``count`` columns of one phase, stored ``step`` columns apart."""
    slope, clamp = settings[0], settings[1]
    t0, t1, t2, t3, t4, t5 = taps[5], taps[4], taps[3], taps[2], taps[1], taps[0]
    if step == 1:
        for i in range(np.uintp(count * CHUNK)):
            value = t0 * base[i] + t1 * base[i + _C1] + t2 * base[i + _C2]
            value += t3 * base[i + _C3] + t4 * base[i + _C4] + t5 * base[i + _C5]
            result[i] = limited(value, slope, clamp)
        return
    source, target, stride = _0, _0, np.uintp(step * CHUNK)
    for _ in range(count):
        for c in range(_C1):
            n = source + c
            value = t0 * base[n] + t1 * base[n + _C1] + t2 * base[n + _C2]
            value += t3 * base[n + _C3] + t4 * base[n + _C4] + t5 * base[n + _C5]
            result[target + c] = limited(value, slope, clamp)
        source += _C1
        target += stride


@compiled
def lower_columns(even, odd, width, taps, result):
    """Every second column of the filtered row."""
    e0, o0, e1, o1, e2, o2 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    e3, o3, e4, o4, e5, o5 = taps[6], taps[7], taps[8], taps[9], taps[10], taps[11]
    for i in range(np.uintp(width * CHUNK)):
        value = e0 * even[i] + e1 * even[i + _C1] + e2 * even[i + _C2]
        value += e3 * even[i + _C3] + e4 * even[i + _C4] + e5 * even[i + _C5]
        value += o0 * odd[i] + o1 * odd[i + _C1] + o2 * odd[i + _C2]
        value += o3 * odd[i + _C3] + o4 * odd[i + _C4] + o5 * odd[i + _C5]
        result[i] = value


@compiled
def lower_rows(ring, begin, taps, style, width, out, row, left, channel):
    """Row ``row`` of the result from the 2 TAPS rows of ``ring`` that begin at ``begin``."""
    half = np.empty(width * CHUNK, np.float32)
    n = len(ring)
    x0, x1, x2 = ring[begin], ring[(begin + 1) % n], ring[(begin + 2) % n]
    x3, x4, x5 = ring[(begin + 3) % n], ring[(begin + 4) % n], ring[(begin + 5) % n]
    t0, t1, t2, t3, t4, t5 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    for i in range(np.uintp(width * CHUNK)):
        half[i] = t0 * x0[i] + t1 * x1[i] + t2 * x2[i] + t3 * x3[i] + t4 * x4[i] + t5 * x5[i]
    x0, x1, x2 = ring[(begin + 6) % n], ring[(begin + 7) % n], ring[(begin + 8) % n]
    x3, x4, x5 = ring[(begin + 9) % n], ring[(begin + 10) % n], ring[(begin + 11) % n]
    t0, t1, t2, t3, t4, t5 = taps[6], taps[7], taps[8], taps[9], taps[10], taps[11]
    for i in range(np.uintp(width * CHUNK)):
        half[i] += t0 * x0[i] + t1 * x1[i] + t2 * x2[i] + t3 * x3[i] + t4 * x4[i] + t5 * x5[i]
    store_columns(half, style, width, out.shape[2], out[row, left:].reshape(-1)[channel:])


@compiled
def store_columns(values, style, columns, channels, out):
    """One chunk of each column, times its style, among all its channels."""
    source, target, stride = _0, _0, np.uintp(channels)
    for _ in range(columns):
        for c in range(_C1):
            store(out, target + c, values[source + c] * style[c])
        source += _C1
        target += stride
