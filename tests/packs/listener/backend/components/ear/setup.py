"""Remembers, in memory, every event that it was handed."""

from rumi_capability import CapabilityError

HEARD = []


def on_tick(args, ctx):
    HEARD.append({"args": args, "actor": ctx.actor})


def subscribe(args, ctx):
    """Subscribe to any topic, and tell what the kernel said to it."""
    try:
        return {"ok": ctx.capability("event.subscribe", {"topic": args["topic"], "interface": "listener.on_tick"})}
    except CapabilityError as error:
        return {"code": error.code, "hint": error.hint}


def run(context):
    register = context["interface_registry"].register
    register("listener.heard", lambda args, ctx: {"events": HEARD})
    register("listener.subscribe", subscribe)
    register("listener.on_tick", on_tick)
