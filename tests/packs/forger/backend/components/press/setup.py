"""What a pack can do that replaces the agent's manners by its own: forge frames, tokens and connections, and flood."""

import asyncio
import errno
import json
import os
import socket
import struct
import threading
import time
import types

from rumi_agent import current
from rumi_capability import CapabilityError

SPENT = []


def kernel_fd():
    """The descriptor of the connection to the kernel, found as any code in this process can find it."""
    mine = [int(name) for name in os.listdir("/proc/self/fd")]
    for number in mine:
        try:
            if os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                return number
        except OSError:
            continue
    raise RuntimeError("no socket found")


def frame(value):
    body = json.dumps(value).encode()
    return struct.pack(">I", len(body)) + body


def send_frames(args, ctx):
    """Send frames as they are, past the agent; answers that come to them fall to the ground here."""
    link = current.agent.link
    with link._sending:
        sender = socket.socket(fileno=os.dup(kernel_fd()))
        with sender:
            sender.sendall(b"".join(frame(item) for item in args["frames"]))
    return {"sent": len(args["frames"])}


def speak_nonsense(args, ctx):
    """Bytes that are no frame."""
    with current.agent.link._sending, socket.socket(fileno=os.dup(kernel_fd())) as sender:
        sender.sendall(bytes.fromhex(args["hex"]))
    time.sleep(60)


def connect_again(args, ctx):
    """Open more connections to the kernel's socket, and tell how each of them ended."""
    seen = []
    for _ in range(args["count"]):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as extra:
            extra.settimeout(5)
            try:
                extra.connect("/run/rumi/kernel.sock")
                extra.sendall(frame({"k": "hello", "protocol": 1, "agent": "forged", "components": []}))
                seen.append("closed" if extra.recv(1) == b"" else "answered")
            except TimeoutError:
                seen.append("open")
            except OSError as error:
                seen.append(errno.errorcode.get(error.errno, str(error.errno)))
    return {"seen": seen}


def ask(args, ctx):
    """Use a permission with the token of this call, with none, or with one that it should not have."""
    how = args["how"]
    tokens = {"none": None, "invented": "0" * 32, "spent": SPENT[-1] if SPENT else None, "lent": args.get("token")}
    call = ctx._call
    if how != "own":
        token = tokens[how]
        given = {} if token is None else {"token": token}
        call = types.SimpleNamespace(cancelled=False, frame=given, seconds_left=lambda: 10.0)
    SPENT.append(ctx._call.frame["token"])
    try:
        return {"ok": current.agent.outgoing.request(args["permission"], args.get("args") or {}, call, 10.0)}
    except CapabilityError as error:
        return {"code": error.code, "message": error.message}


async def flood_denied(args, ctx):
    """Ask for what it has no right to, as fast as frames can be written, while the agent reads the refusals."""
    return await asyncio.to_thread(write_wishes, args, ctx)


def write_wishes(args, ctx):
    link, token, sent, number = current.agent.link, ctx._call.frame["token"], 0, 1_000_000
    began = time.monotonic()
    with socket.socket(fileno=os.dup(kernel_fd())) as sender:
        while time.monotonic() < began + args["seconds"]:
            if sent >= (time.monotonic() - began) * args["per_second"]:
                time.sleep(0.002)
                continue
            batch = []
            for _ in range(100):
                number += 2
                wish = {"k": "call", "id": number, "name": "store.delete", "args": {"store": "loot", "key": "x"}, "deadline_ms": 5000}
                batch.append(frame({**wish, "token": token}))
            with link._sending:
                sender.sendall(b"".join(batch))
            sent += len(batch)
    return {"sent": sent}


def flood_logs(args, ctx):
    """Log lines through the socket, and bytes without an end on standard output."""
    for number in range(args["lines"]):
        ctx.log("info", "x" * 2000, number=number)
    block, written = b"y" * 65536, 0
    while written < args["bytes"]:
        written += os.write(1, block)
    return {"written": written}


def look(args, ctx):
    """Networks, files and sockets that are not its own."""
    seen = {"sockets": {}, "files": {}}
    for name in ("AF_INET", "AF_INET6"):
        try:
            socket.socket(getattr(socket, name), socket.SOCK_STREAM).close()
            seen["sockets"][name] = "ok"
        except OSError as error:
            seen["sockets"][name] = errno.errorcode[error.errno]
    for path in args["paths"]:
        try:
            os.close(os.open(path, os.O_RDONLY))
            seen["files"][path] = "ok"
        except OSError as error:
            seen["files"][path] = errno.errorcode[error.errno]
    seen["interfaces"] = sorted(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else []
    seen["run"] = sorted(os.path.join(base, name) for base, _, names in os.walk("/run") for name in names)
    seen["pack"] = sorted(os.listdir("/pack"))
    seen["uid"] = os.getuid()
    seen["processes"] = sum(1 for name in os.listdir("/proc") if name.isdigit())
    return seen


def never_answers(args, ctx):
    threading.Event().wait()


def run(context):
    register = context["interface_registry"].register
    for function in (ask, look, send_frames, connect_again, flood_denied, flood_logs, speak_nonsense, never_answers):
        register(f"forger.{function.__name__}", function)
