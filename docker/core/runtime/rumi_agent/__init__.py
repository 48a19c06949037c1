"""The agent: the pack's side of the wire, inside the container.

Standard library of Python 3.11 only, and as little of that as can be (no pathlib, no contextlib, the C halves of
socket, json and threading): what is imported here is paid for at every cold start and sits in the memory of every
idle pack. It is part of the pack's own process, so it guards nothing against the pack: every limit that matters is
kept again by the kernel. What it owes is to read the kernel strictly, to never die of a handler, and to put nothing
but frames on the socket.
"""
