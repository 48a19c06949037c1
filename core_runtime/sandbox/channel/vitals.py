"""Is the other end alive? Hello in time, a pong for the pings, gone in time after a stop."""

from __future__ import annotations

from math import inf

from core_runtime.sandbox.channel.config import ChannelLimits

STOP_SLACK = 1.0


class Vitals:
    """The deadlines of one connection, all on the monotonic clock."""

    __slots__ = ("_hello_by", "_limits", "_ping_at", "_pong_by", "_stop_by")

    def __init__(self, limits: ChannelLimits) -> None:
        self._limits = limits
        self._hello_by = self._ping_at = self._pong_by = self._stop_by = inf

    def connected(self, now: float) -> float:
        """The clock for the hello runs; returns its deadline."""
        self._hello_by = now + self._limits.hello_seconds
        return self._hello_by

    def hello(self, now: float) -> float:
        """The agent is ready; returns when to ping it first."""
        self._hello_by = inf
        self._pong_by = now + self._limits.pong_seconds
        self._ping_at = now + self._limits.ping_seconds
        return self._ping_at

    def pong(self, now: float) -> None:
        """The agent answered a ping."""
        self._pong_by = now + self._limits.pong_seconds

    def stop(self, now: float, grace: float) -> float:
        """The agent was asked to go; returns when it has to be gone."""
        self._stop_by = now + grace + STOP_SLACK
        return self._stop_by

    @property
    def stopping(self) -> bool:
        """True once the agent was asked to go."""
        return self._stop_by != inf

    def ping_due(self, now: float) -> bool:
        """True once for each time that a ping is due."""
        if now < self._ping_at:
            return False
        self._ping_at = now + self._limits.ping_seconds
        return True

    def overdue(self, now: float, *, reading: bool) -> str | None:
        """Why the connection has to be closed, if it has to. While nothing is read, no pong can be missed."""
        if now >= self._hello_by:
            return f"the agent did not say hello within {self._limits.hello_seconds:g} s"
        if now >= self._stop_by:
            return "stopped"
        if not reading:
            self._pong_by = max(self._pong_by, now + self._limits.ping_seconds)
        return "unresponsive" if now >= self._pong_by else None

    def next(self) -> float:
        """When to look again."""
        return min(self._hello_by, self._ping_at, self._stop_by)
