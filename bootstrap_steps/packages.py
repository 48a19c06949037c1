"""Installing what a stage needs from the distribution, where that is possible at all.

Only as root on a distribution with apt; everybody else is told the command. Never asks a question, never removes or
upgrades a package by its own wish, and never starts or stops a service.
"""

from pathlib import Path

from bootstrap_steps.report import SetupError, disk_full
from bootstrap_steps.site import Site

APT = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
LISTS = Path("/var/lib/apt/lists")
STALE_LISTS = (
    "Unable to locate package",
    "has no installation candidate",
    "404  Not Found",
    "Unable to fetch some archives",
)
NO_NETWORK = (
    "Temporary failure resolving",
    "Could not resolve",
    "Could not connect",
    "Connection timed out",
    "Cannot initiate the connection",
    "Failed to fetch",
)


def install(site: Site, stage: str, names: list[str], purpose: str, lists: Path = LISTS) -> None:
    """Have the named packages there, or raise the sentence that says how to get them."""
    command = "apt-get install -y " + " ".join(names)
    if not site.host.uses_apt:
        raise SetupError(
            f"{purpose} is missing, and this is no Debian or Ubuntu, where the set-up could install it.",
            f"install {' '.join(names)}, then: python3 bootstrap.py setup",
        )
    if not site.host.root:
        raise SetupError(
            f"{purpose} is missing, and only root may install it.", f"sudo apt-get update && sudo {command}"
        )
    with site.reporter.work(stage, f"installing {' '.join(names)}"):
        if not any(lists.glob("*Packages*")):
            _update(site)
        arguments = [*APT, "install", "--no-install-recommends", *names]
        done = site.runner.run(arguments, timeout=1800, env=QUIET)
        if done.code and any(word in done.err for word in STALE_LISTS):
            _update(site)
            done = site.runner.run(arguments, timeout=1800, env=QUIET)
        if done.code and "dpkg --configure -a" in done.err:  # an installation that was killed half-way
            site.runner.run(["dpkg", "--configure", "-a"], timeout=900, env=QUIET)
            done = site.runner.run(arguments, timeout=1800, env=QUIET)
    if done.code:
        raise explain(done.err, command, done.last_words)


def explain(said: str, command: str, last_words: str) -> SetupError:
    """The sentence behind apt's own many lines."""
    if "No space left on device" in said or "You don't have enough free space" in said:
        return disk_full("python3 bootstrap.py setup")
    if any(word in said for word in NO_NETWORK):
        return SetupError(
            "The distribution's package servers cannot be reached.",
            f"check the network, then: sudo apt-get update && sudo {command}",
        )
    return SetupError(
        f"apt-get could not install what is missing: {last_words}", f"sudo apt-get update && sudo {command}"
    )


def _update(site: Site) -> None:
    """Package lists are fetched for us; a source that fails is apt's affair unless the installation fails after it."""
    site.runner.run([*APT, "update"], timeout=900, env=QUIET)
