"""Bounds on what a pack can make the kernel hold or do: bytes that wait, and frames that are worth nothing."""

from __future__ import annotations

from collections.abc import Callable


class InboundBudget:
    """Bytes received from one pack that the kernel holds: in streams that wait to be read, and with wishes at work.

    Streams can only be held back by not reading the connection; a wish too many is refused, and so holds nobody up.
    """

    __slots__ = ("_at_work", "_held", "_hold", "_limit", "_release", "_waiting")

    def __init__(self, limit: int, *, hold: Callable[[], None], release: Callable[[], None]) -> None:
        self._limit = limit
        self._waiting = 0
        self._at_work = 0
        self._held = False
        self._hold = hold
        self._release = release

    @property
    def used(self) -> int:
        """All bytes held now."""
        return self._waiting + self._at_work

    @property
    def over(self) -> bool:
        """True above the limit: no wish more."""
        return self._waiting + self._at_work > self._limit

    def add(self, size: int) -> None:
        """`size` bytes more wait in a stream. Above the limit the connection is not read."""
        self._waiting += size
        if not self._held and self._waiting > self._limit:
            self._held = True
            self._hold()

    def remove(self, size: int) -> None:
        """`size` bytes were taken or thrown away. Reading goes on at half of the limit, so that it does not flutter."""
        self._waiting -= size
        if self._held and self._waiting <= self._limit // 2:
            self._held = False
            self._release()

    def lend(self, size: int) -> None:
        """A wish of `size` bytes is at work."""
        self._at_work += size

    def give_back(self, size: int) -> None:
        """It has ended."""
        self._at_work -= size


class Bucket:
    """A token bucket: `burst` at once, `rate` a second."""

    __slots__ = ("_burst", "_level", "_rate", "_then")

    def __init__(self, *, burst: float, rate: float, now: float) -> None:
        self._burst = burst
        self._rate = rate
        self._level = burst
        self._then = now

    def take(self, now: float) -> bool:
        """True if there was one left."""
        level = self._level
        if level < 1.0:
            level = min(self._burst, level + (now - self._then) * self._rate)
            self._then = now
            if level < 1.0:
                self._level = level
                return False
        self._level = level - 1.0
        return True
