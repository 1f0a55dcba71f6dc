"""How large a picture to ask for while the rig moves, and whether playback is followed, from the times of the last ones.

Standard library only.
"""

from __future__ import annotations

from collections import deque

SLOW_SECONDS = 0.1  # a picture that takes longer is shown coarse first
SMALLEST = 64  # pixels; below, a face says nothing
WORTH = 0.7  # a coarse picture must take less than this part of the full one's time
FRAMES_KEPT = 2  # playback is followed where at least every second frame is shown
COUNTED = 3  # last pictures of a size whose median counts: one hiccup among them changes nothing
REST_SECONDS = 2.0  # without a picture, where playback is not followed, until one more is tried
REST_TIMES = 10  # at least as many times as long as a picture takes, so that trials keep the computer busy for a tenth of the time at most


class Pace:
    """Times of pictures by their size in pixels. ``full`` is the size that is wanted at rest."""

    def __init__(self) -> None:
        self._seconds: dict[int, deque[float]] = {}

    def measured(self, size: int, seconds: float) -> None:
        """A picture of ``size`` took ``seconds``."""
        self._seconds.setdefault(size, deque(maxlen=COUNTED)).append(seconds)

    def seconds(self, size: int) -> float | None:
        """What a picture of this size takes, None before the first."""
        last = sorted(self._seconds.get(size, ()))
        return last[(len(last) - 1) // 2] if last else None

    def moving_size(self, full: int) -> int:
        """The size to ask for while the rig moves: ``full``, or a half, a quarter, … of it where that is slow.

        A coarse size that was never tried is tried; when it turns out to be hardly quicker, as where
        the generator takes nearly all the time, the full size is used.
        """
        slow = self.seconds(full)
        if slow is None or slow <= SLOW_SECONDS:
            return full
        best, fastest, size = full, slow, full // 2
        while size >= SMALLEST:
            taken = self.seconds(size)
            if taken is None or taken <= SLOW_SECONDS:
                return size
            if taken > WORTH * fastest:
                break
            best, fastest, size = size, taken, size // 2
        return best

    def rest(self, full: int, frame_seconds: float) -> float:
        """Seconds that playback with frames of ``frame_seconds`` goes on after a picture before the next one: 0 where it is followed.

        Where pictures come too slowly, one is tried now and then; after one that was quick enough the
        next is tried at once.
        """
        size, limit = self.moving_size(full), FRAMES_KEPT * frame_seconds
        taken = self.seconds(size)
        if taken is None or taken <= limit or self._seconds[size][-1] <= limit:
            return 0.0
        return max(REST_SECONDS, REST_TIMES * self._seconds[size][-1])
