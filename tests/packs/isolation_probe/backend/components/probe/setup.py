"""The isolation probe: an ordinary pack whose one interface looks at the walls around it."""

import isolation_checks


def run(context):
    def probe(args, ctx):
        return isolation_checks.run_all(args)

    context["interface_registry"].register("probe.run", probe)
