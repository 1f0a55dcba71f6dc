"""How large a picture to ask for while the rig moves, and whether playback is followed, from the times of the last ones.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_QUICK_SECONDS = 0.1  # a picture that takes longer is shown coarse first
MIN_SIZE = 64  # pixels; below, a face says nothing
MIN_SPEEDUP = 0.7  # a coarse picture must take less than this part of the full one's time
MAX_FRAMES_PER_PICTURE = 2  # playback is followed where at least every second frame is shown
MEDIAN_OF = 3  # last pictures of a size whose median counts: one hiccup among them changes nothing
MIN_BACKOFF_SECONDS = 2.0  # without a picture, where playback is not followed, until one more is tried
MIN_BACKOFF_TIMES = 10  # at least as many times as long as a picture takes, so that trials take a tenth of the time at most


@dataclass(frozen=True)
class AdaptiveResolution:
    """Seconds that the last pictures of each size in pixels took, oldest first."""

    times: Mapping[int, tuple[float, ...]] = field(default_factory=dict)

    def measured(self, size: int, seconds: float) -> AdaptiveResolution:
        """The same after one more picture of ``size``, which took ``seconds``."""
        last = (*self.times.get(size, ()), seconds)[-MEDIAN_OF:]
        return AdaptiveResolution({**self.times, size: last})

    def seconds(self, size: int) -> float | None:
        """What a picture of this size takes, None before the first."""
        last = sorted(self.times.get(size, ()))
        return last[(len(last) - 1) // 2] if last else None

    def interactive_size(self, full: int) -> int:
        """The size to ask for while the rig moves: ``full``, or a half, a quarter, … of it where that is slow.

        A coarse size that was never tried is tried; when it turns out to be hardly quicker, as where
        the generator takes nearly all the time, the full size is used.
        """
        slow = self.seconds(full)
        if slow is None or slow <= MAX_QUICK_SECONDS:
            return full
        best, fastest, size = full, slow, full // 2
        while size >= MIN_SIZE:
            taken = self.seconds(size)
            if taken is None or taken <= MAX_QUICK_SECONDS:
                return size
            if taken > MIN_SPEEDUP * fastest:
                break
            best, fastest, size = size, taken, size // 2
        return best

    def backoff(self, full: int, frame_seconds: float) -> float:
        """Seconds that playback with frames of ``frame_seconds`` goes on after a picture before the next one: 0 where it is followed.

        Where pictures come too slowly, one is tried now and then; after one that was quick enough the
        next is tried at once.
        """
        size, limit = self.interactive_size(full), MAX_FRAMES_PER_PICTURE * frame_seconds
        taken = self.seconds(size)
        if taken is None or taken <= limit or self.times[size][-1] <= limit:
            return 0.0
        return max(MIN_BACKOFF_SECONDS, MIN_BACKOFF_TIMES * self.times[size][-1])
