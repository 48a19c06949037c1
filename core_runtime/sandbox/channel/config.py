"""What a channel is told when it is made. Every wait and every queue of a channel has its number here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """Seconds, counts and bytes. The defaults are the documented ones; tests make them small."""

    hello_seconds: float = 10.0
    frame_seconds: float = 10.0
    ping_seconds: float = 10.0
    pong_seconds: float = 30.0
    idle_seconds: float = 300.0
    stuck_seconds: float = 30.0
    default_deadline: float = 30.0
    longest_deadline: float = 120.0
    shortest_deadline: float = 0.001
    calls_out: int = 1024
    calls_in: int = 64
    event_tokens: int = 256
    event_seconds: float = 30.0
    inbound_bytes: int = 16 * MIB
    outbound_high: int = MIB
    outbound_hard: int = 8 * MIB
    components: int = 512
    name_length: int = 512
    junk_burst: int = 10_000
    junk_per_second: float = 2_000.0
    log_lines: float = 200.0
    log_bytes: int = 16 * 1024


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """What the agent is told in `config`, and the limits that the kernel keeps on its side."""

    settings: Mapping[str, object] = field(default_factory=dict)
    concurrency: int = 8
    max_streams: int = 256
    proxy: bool = False
    limits: ChannelLimits = field(default_factory=ChannelLimits)
