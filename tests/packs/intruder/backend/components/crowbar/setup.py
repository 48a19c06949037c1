"""A pack that has been taken over: its one interface runs the code that it is given, with raw frames at hand.

The helpers below replace the agent's manners: frames are written past it, connections and tokens are forged. They run
inside the container, under the pack's own uid, as anything does that an author ships.
"""

import json
import os
import socket
import struct

from rumi_agent import current
from rumi_capability import CapabilityError

KEPT = {}


def frame(value):
    """One frame as it goes over the wire; bytes are taken as a body that is ready."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack(">I", len(body)) + body


def kernel_fd():
    """The descriptor of the connection to the kernel, found as any code in this process can find it."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                return int(name)
        except OSError:
            continue
    raise RuntimeError("no socket found")


def send(*values):
    """Write frames past the agent, in one piece; answers to them fall to the ground at the agent."""
    with current.agent.link._sending, socket.socket(fileno=os.dup(kernel_fd())) as sender:
        sender.sendall(b"".join(frame(item) for item in values))


def wish(ctx, permission, args, token=None):
    """A wish with a token of one's choice (none: on its own account); what the kernel said, error or not."""
    import types

    given = {} if token is None else {"token": token}
    call = types.SimpleNamespace(cancelled=False, frame=given, seconds_left=lambda: 10.0)
    try:
        return {"ok": current.agent.outgoing.request(permission, args, call, 10.0)}
    except CapabilityError as error:
        return {"code": error.code, "message": error.message}


def attack(args, ctx):
    """Run `code`; it finds `args`, `ctx`, the helpers above and `KEPT`, and leaves its findings in `result`."""
    space = {"args": args, "ctx": ctx, "current": current, "frame": frame, "kernel_fd": kernel_fd, "send": send}
    space |= {"wish": wish, "KEPT": KEPT, "CapabilityError": CapabilityError, "json": json, "os": os, "socket": socket}
    exec(args["code"], space)  # that is what this pack is for
    return space.get("result")


def run(context):
    context["interface_registry"].register("intruder.attack", attack)
