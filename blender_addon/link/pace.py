"""How large a picture to ask for while the rig moves, from the times of the last ones. Standard library only."""

from __future__ import annotations

SLOW_SECONDS = 0.1  # a picture that takes longer is shown coarse first
SMALLEST = 64  # pixels; below, a face says nothing
WORTH = 0.7  # a coarse picture must take less than this part of the full one's time
FRAMES_KEPT = 2  # playback is followed where at least every second frame is shown


class Pace:
    """Times of pictures by their size in pixels. ``full`` is the size that is wanted at rest."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}

    def measured(self, size: int, seconds: float) -> None:
        """A picture of ``size`` took ``seconds``; the last one counts, so that a hiccup is soon forgotten."""
        self._seconds[size] = seconds

    def seconds(self, size: int) -> float | None:
        """What a picture of this size took, None before the first."""
        return self._seconds.get(size)

    def moving_size(self, full: int) -> int:
        """The size to ask for while the rig moves: ``full``, or a half, a quarter, … of it where that is slow.

        A coarse size that was never tried is tried; when it turns out to be hardly quicker, as where
        the generator takes nearly all the time, the full size is used.
        """
        slow = self._seconds.get(full)
        if slow is None or slow <= SLOW_SECONDS:
            return full
        best, size = full, full // 2
        while size >= SMALLEST:
            taken = self._seconds.get(size)
            if taken is None or taken <= SLOW_SECONDS:
                return size
            if taken > WORTH * self._seconds[best]:
                break
            best, size = size, size // 2
        return best

    def follows(self, full: int, frame_seconds: float) -> bool:
        """Whether pictures come quickly enough for playback with frames of ``frame_seconds``."""
        taken = self._seconds.get(self.moving_size(full))
        return taken is None or taken <= FRAMES_KEPT * frame_seconds
