"""Interfaces that answer, fail, wait, and call further, so that flows have something to work with."""

import os
import time

from rumi_capability import CapabilityError

TRIES = {}


def flaky(args, ctx):
    """Fails as often as it is told to for one key, then answers how often that was."""
    TRIES[args["key"]] = TRIES.get(args["key"], 0) + 1
    if TRIES[args["key"]] <= args["failures"]:
        raise RuntimeError(f"try {TRIES[args['key']]} of {args['key']}")
    return {"tries": TRIES[args["key"]]}


def fail(args, ctx):
    raise ValueError(args.get("text", "as ordered"))


def slow(args, ctx):
    time.sleep(args["seconds"])
    return {"slept": args["seconds"]}


def surroundings(args, ctx):
    """All that it can see of where it runs."""
    return {"environment": dict(os.environ), "settings": ctx.settings, "actor": ctx.actor, "uid": os.getuid()}


def again(args, ctx):
    """Run the flow that called it."""
    return ctx.capability("flow.run", {"flow": "again", "inputs": {}})


def ask(args, ctx):
    """Ask the kernel for anything, and tell what it said."""
    try:
        return {"ok": ctx.capability(args["permission"], args.get("args"))}
    except CapabilityError as error:
        return {"code": error.code, "message": error.message, "hint": error.hint, "request_id": error.request_id}


def lend_token(args, ctx):
    """Give the token of this very call, while it lasts, to another pack."""
    return ctx.call("forger.ask", {**args, "how": "lent", "token": ctx._call.frame["token"]})


def level(number):
    def handler(args, ctx):
        deeper = f"workshop.level_{number + 1}"
        return {"deepest": number} if number >= args["to"] else ctx.call(deeper, args)

    return handler


def run(context):
    register = context["interface_registry"].register
    register("workshop.echo", lambda args, ctx: args)
    for function in (flaky, fail, slow, surroundings, again, ask, lend_token):
        register(f"workshop.{function.__name__}", function)
    for number in range(1, 13):
        register(f"workshop.level_{number}", level(number))
