def fill(args, ctx):
    return [ctx.store(name).set("thing", f"in {name}") for name in ("items", "safe")]


def run(context):
    context["interface_registry"].register("house.fill", fill)
