"""The five commands of `bootstrap.py`, and how each of them ends.

Exit codes: 0 done, 1 cannot go on (one sentence says why, and what mends it), 2 wrong usage, 130 interrupted. After the
hand-over the exit code is that of what was handed over to. A traceback is shown to nobody.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from bootstrap_steps import doctor, engine, handover, image, uninstall, venv
from bootstrap_steps.host import SystemRunner, read_host
from bootstrap_steps.report import Reporter, SetupError, from_system
from bootstrap_steps.settings import is_permissive, read_environment
from bootstrap_steps.site import Site, only_one

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str]) -> int:
    """Run one command; whatever goes wrong becomes a sentence."""
    reporter = Reporter()
    name = arguments[0] if arguments and not arguments[0].startswith("-") else "run"
    return in_sentences(reporter, name, lambda: dispatch(arguments, open_site(reporter)))


def in_sentences(reporter: Reporter, name: str, action: Callable[[], int]) -> int:
    """The exit code of `action`; its exceptions are told as a sentence each. `name` is the command to start again."""
    try:
        return action()
    except SetupError as error:
        reporter.problem(error)
    except OSError as error:
        reporter.problem(from_system(error, name))
    except KeyboardInterrupt:
        reporter.line("stopped", "starting it again goes on from here")
        return 130
    return 1


def open_site(reporter: Reporter, root: Path = ROOT) -> Site:
    """This checkout on this machine."""
    environment = read_environment()
    return Site(
        root=root, environment=environment, host=read_host(), runner=SystemRunner(environment), reporter=reporter
    )


def dispatch(arguments: Sequence[str], site: Site) -> int:
    if arguments[:1] == ["test"]:  # everything behind it is pytest's, options included
        prepare(site, "test")
        handover.to_pytest(site, arguments[1:])
    options = parser().parse_args(arguments)
    if options.command == "doctor":
        return doctor.run(site)
    if options.command == "uninstall":
        return uninstall.run(site)
    if options.command == "run":
        if options.input and not options.flow:
            parser().error("--input belongs to --flow")
        if not options.flow:
            handover.demand_free_ports(site)
        prepare(site, "base")
        handover.to_kernel(site, arguments[1:])
    prepare(site, "base")
    site.reporter.line("done", "everything is there. Start Rumi: python3 bootstrap.py run")
    return 0


def prepare(site: Site, lock: str) -> None:
    """The three stages, each of which does only what is missing."""
    if site.host.system != "Linux":
        raise SetupError(
            "Rumi needs Linux: its packs' sockets do not cross the border of a virtual machine (Docker Desktop's).",
            "run it inside a Linux machine: limactl start (macOS), wsl (Windows)",
        )
    demand_writable(site)
    with only_one(site):
        venv.ensure(site, lock)
        try:
            running, found = engine.ensure(site)
            image.ensure(site, running, found.architecture)
        except SetupError as error:
            if not is_permissive(site.environment):
                raise
            site.reporter.line(
                "engine", f"WITHOUT A SANDBOX, as RUMI_SECURITY_MODE=permissive says. ({error.sentence})"
            )


def demand_writable(site: Site) -> None:
    """Said before anything is tried: half of a set-up is worse than a sentence."""
    place = site.venv if site.venv.is_dir() else site.root
    if not os.access(place, os.W_OK | os.X_OK):
        raise SetupError(f"This user may not write in {place}.", f'sudo chown -R "$(id -un)" "{site.root}"')


class _Parser(argparse.ArgumentParser):
    """argparse, with its complaint in our form."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"problem: {message}\n   mend: python3 bootstrap.py --help\n")
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """The command line, as `--help` shows it."""
    top = _Parser(prog="bootstrap.py", description="Make everything that Rumi needs, and start it.", allow_abbrev=False)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    start = commands.add_parser("run", help="set up what is missing, then start Rumi", allow_abbrev=False)
    start.add_argument(
        "--approve-bundled", action="store_true", help="approve the packs that come with this repository"
    )
    start.add_argument("--flow", metavar="NAME", help="run this flow, print its outputs as JSON, stop")
    start.add_argument(
        "--input", metavar="K=V", action="append", help="an input of the flow (K:=JSON for other than text)"
    )
    commands.add_parser("test", help="set up with what the tests need, then run them (arguments go to pytest)")
    commands.add_parser("setup", help="the set-up alone; start it again after an interruption")
    commands.add_parser("doctor", help="check everything, and say what mends what")
    remove = commands.add_parser("uninstall", help="remove what the set-up made, and only that")
    remove.add_argument("--yes", action="store_true", help="for scripts; nothing is asked anyway")
    return top
