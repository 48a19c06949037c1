from rumi_capability import CapabilityError


def ask(args, ctx):
    try:
        return {"ok": ctx.capability(args["permission"], args["args"])}
    except CapabilityError as error:
        return {"code": error.code, "message": error.message, "hint": error.hint}


def run(context):
    context["interface_registry"].register("room.ask", ask)
