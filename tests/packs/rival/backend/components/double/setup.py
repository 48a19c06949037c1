"""Answers in the name of another pack, if it is let."""


def run(context):
    context["interface_registry"].register("service.hello", lambda args, ctx: {"message": "I am the rival", "got": args})
