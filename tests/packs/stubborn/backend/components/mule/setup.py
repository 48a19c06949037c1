def run(context):
    context["interface_registry"].register("stubborn.here", lambda args, ctx: "here")
    raise RuntimeError("I will not start")
