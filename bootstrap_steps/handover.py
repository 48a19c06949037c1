"""The end of the set-up: this process becomes the kernel, or pytest. Its exit code and its output are theirs."""

import errno
import os
import socket
import sys
from collections.abc import Sequence
from typing import NoReturn

from bootstrap_steps.report import SetupError
from bootstrap_steps.settings import Listener, kernel_settings_file, listeners
from bootstrap_steps.site import Site


def to_kernel(site: Site, options: Sequence[str]) -> NoReturn:
    """Become `app.py run` with the owner's own options."""
    if not (site.root / "app.py").is_file():
        raise SetupError("app.py is missing: this checkout is not whole.", "git checkout -- app.py")
    become(site, ["app.py", "run", *options])


def to_pytest(site: Site, options: Sequence[str]) -> NoReturn:
    """Become pytest in the checkout's folder."""
    become(site, ["-m", "pytest", *options])


def become(site: Site, arguments: Sequence[str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir(site.root)
    os.execve(  # noqa: S606  (an argument list; becoming the program is the point)
        site.python, [str(site.python), *arguments], dict(site.environment)
    )


def is_taken(listener: Listener) -> bool:
    """Whether somebody listens there already. That an address cannot be bound otherwise is the kernel's to report."""
    family = socket.AF_INET6 if ":" in listener.bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listener.bind, listener.port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def demand_free_ports(site: Site) -> None:
    """Before minutes of set-up: a taken port would stop the kernel at its end.

    An owner whose own settings file may have moved the ports is left to the kernel, which knows them.
    """
    if kernel_settings_file(site.root, site.environment).exists():
        return
    for listener in listeners(site.environment):
        if listener.port and is_taken(listener):
            raise SetupError(
                f"Port {listener.port} of {listener.bind} is taken, by a Rumi or another program (ss -ltnp).",
                f"{listener.setting}={listener.port + 1} python3 bootstrap.py run",
            )
