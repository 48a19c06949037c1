"""Claims `clock.now`, which another pack provides, and can crash that pack where it was granted to."""

from rumi_capability import CapabilityError


def crash_ticker(args, ctx):
    try:
        return {"ok": ctx.call("ticker.die")}
    except CapabilityError as error:
        return {"code": error.code, "hint": error.hint}


def run(context):
    register = context["interface_registry"].register
    register("clock.now", lambda args, ctx: {"by": ctx.pack_id})
    register("listener.crash_ticker", crash_ticker)
