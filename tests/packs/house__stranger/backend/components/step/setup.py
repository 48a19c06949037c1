def run(context):
    context["interface_registry"].register("stranger.here", lambda args, ctx: "in")
