"""The `rumi` command. Light on purpose: most commands ask a running kernel; only `serve` imports `app`."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from core_runtime.interfaces.cli import application
from core_runtime.interfaces.cli.hooks import ServeOptions
from core_runtime.interfaces.launch.hooks import command_hooks


def serve(options: ServeOptions) -> int:
    """Run a kernel until it is stopped; the exit code."""
    # What importing makes stays for good: looking through it for garbage again and again is a sixth of the start.
    gc.disable()
    import app

    gc.freeze()
    gc.enable()
    return app.serving().serve(approve_bundled=options.approve_bundled)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    return application.main(command_hooks(serve), argv)


if __name__ == "__main__":
    sys.exit(main())
