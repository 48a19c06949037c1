import time


def run(context):
    time.sleep(600)
    context["interface_registry"].register("sleepy.here", lambda args, ctx: "here")
