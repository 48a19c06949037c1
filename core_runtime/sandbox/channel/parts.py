"""What the two halves of a channel share: one connection's outlet, clock, tokens, alarm and bounds."""

from __future__ import annotations

from dataclasses import dataclass

from core_runtime.clock import Clock
from core_runtime.sandbox.channel.alarm import Alarm
from core_runtime.sandbox.channel.budget import InboundBudget
from core_runtime.sandbox.channel.config import ChannelLimits
from core_runtime.sandbox.channel.ports import Outlet
from core_runtime.sandbox.channel.tokens import TokenTable


class StreamSlots:
    """How many streams one pack may have open, in both directions together."""

    __slots__ = ("_most", "_open")

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = 0

    def take(self) -> bool:
        """True if there was a free one."""
        if self._open >= self._most:
            return False
        self._open += 1
        return True

    def give_back(self) -> None:
        """One ended."""
        self._open -= 1


@dataclass(frozen=True, slots=True)
class Parts:
    """See the module."""

    outlet: Outlet
    clock: Clock
    limits: ChannelLimits
    tokens: TokenTable
    alarm: Alarm
    inbound: InboundBudget
    slots: StreamSlots
