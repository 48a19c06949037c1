"""One connection to one agent: calls both ways, streams, tokens, deadlines. The door is `PackChannel`."""

from __future__ import annotations

from core_runtime.sandbox.channel.channel import PackChannel
from core_runtime.sandbox.channel.config import ChannelConfig, ChannelLimits
from core_runtime.sandbox.channel.ports import RefusalWitness

__all__ = ["ChannelConfig", "ChannelLimits", "PackChannel", "RefusalWitness"]
