"""Publishes `ticker/tick`, provides `clock.now`, and leaves when it is told to."""

import os

from rumi_capability import CapabilityError


def tick(args, ctx):
    return ctx.emit("tick", args)


def publish(args, ctx):
    """Publish under any topic, and tell what the kernel said to it."""
    try:
        return {"ok": ctx.emit(args["topic"], {})}
    except CapabilityError as error:
        return {"code": error.code, "hint": error.hint}


def die(args, ctx):
    os._exit(1)


def run(context):
    register = context["interface_registry"].register
    register("ticker.tick", tick)
    register("ticker.publish", publish)
    register("ticker.die", die)
    register("ticker.pid", lambda args, ctx: {"pid": os.getpid(), "uid": os.getuid()})
    register("clock.now", lambda args, ctx: {"by": ctx.pack_id})
