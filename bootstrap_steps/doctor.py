"""`bootstrap.py doctor`: what is there, what is not, and the exact command that mends it.

Looks only; changes nothing, starts nothing. Works before any set-up. When the kernel is there, its own checks follow.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bootstrap_steps import engine, image, venv
from bootstrap_steps.donors import read_recipe
from bootstrap_steps.engine_api import Address, Engine, read_address
from bootstrap_steps.handover import is_taken
from bootstrap_steps.report import SetupError, paragraph
from bootstrap_steps.settings import Listener, listeners
from bootstrap_steps.site import Site

NEEDED_BYTES = 2 << 30
SCARCE_BYTES = 512 << 20
SETUP = "python3 bootstrap.py setup"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result; a problem always carries what mends it."""

    level: Literal["ok", "warning", "problem"]
    subject: str
    text: str
    mend: str = ""


def run(site: Site) -> int:
    """Print every finding; 1 if one of them is a problem."""
    findings = [finding for check in CHECKS for finding in guarded(check, site)]
    for finding in findings:
        sys.stdout.write(paragraph(f"{finding.level:<8} {finding.subject:<10} ", finding.text))
        if finding.mend:
            sys.stdout.write(f"{'':<8} {'':<10} mend: {finding.mend}\n")
    sys.stdout.flush()
    kernel = kernel_checks(site)
    return 1 if kernel or any(finding.level == "problem" for finding in findings) else 0


def guarded(check: Callable[[Site], list[Finding]], site: Site) -> list[Finding]:
    """A check that fails is a finding, not the end of the doctor."""
    try:
        return check(site)
    except SetupError as error:
        return [Finding("problem", check.__name__.removeprefix("check_"), error.sentence, error.mend)]
    except OSError as error:
        return [Finding("problem", check.__name__.removeprefix("check_"), f"This could not be checked: {error}", SETUP)]


def check_python(site: Site) -> list[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if venv.is_ready(site, "base"):
        return [Finding("ok", "python", f"Python {version}; .venv holds what the lock names")]
    return [
        Finding("ok", "python", f"Python {version}"),
        Finding("problem", "venv", ".venv is missing, or does not hold what the lock names.", SETUP),
    ]


def check_host(site: Site) -> list[Finding]:
    if site.host.system != "Linux":
        text = f"{site.host.system}: packs' sockets do not cross a virtual machine's border (Docker Desktop's)."
        return [Finding("problem", "system", text, "run Rumi inside Linux: WSL 2, Lima or Colima")]
    if site.host.contained:
        text = "Rumi itself runs in a container: with the engine's socket in it, that container is root on the host."
        return [Finding("warning", "user", text, "run Rumi on the host, as a plain user")]
    if site.host.root:
        text = "Running as root. A plain user loses less if the kernel is broken."
        return [Finding("warning", "user", text, "a user who may use the engine: sudo usermod -aG docker NAME")]
    return [Finding("ok", "user", "a plain user")]


def check_disk(site: Site) -> list[Finding]:
    free = shutil.disk_usage(site.root).free
    text = f"{free / (1 << 30):.1f} GB free"
    if free < SCARCE_BYTES:
        return [Finding("problem", "disk", f"{text}: too little to set up or to run.", "df -h . ; docker image prune")]
    if free < NEEDED_BYTES:
        return [Finding("warning", "disk", f"{text}: a first set-up needs about 2 GB.")]
    return [Finding("ok", "disk", text)]


def check_engine(site: Site) -> list[Finding]:
    """Where the engine is, whether it answers, and whether its door stands open to everyone."""
    address = read_address(site.environment)
    found = engine.ping(address)
    if found.reply is engine.Reply.ABSENT and not address.explicit:
        return [
            Finding(
                "problem",
                "engine",
                f"No container engine answers at {address}.",
                f"sudo {SETUP}" if not site.host.root else SETUP,
            )
        ]
    engine.demand(found, address)
    if engine.api_of(found) < engine.OLDEST_API:
        return [
            Finding(
                "problem", "engine", f"Docker {found.version} is older than 20.10.", "sudo apt-get install docker.io"
            )
        ]
    return [
        Finding("ok", "engine", f"Docker {found.version} at {address}"),
        *engine_facts(Engine(address)),
        *socket_facts(address),
    ]


def engine_facts(running: Engine) -> list[Finding]:
    """What an engine says about itself that matters for safety or for speed."""
    info = running.get("/info", timeout=10)
    facts = info if isinstance(info, dict) else {}
    security = [str(option) for option in options] if isinstance(options := facts.get("SecurityOptions"), list) else []
    findings = []
    if facts.get("Driver") == "vfs":
        text = "The engine copies whole images (driver vfs): every start of a pack takes seconds."
        findings.append(
            Finding("warning", "storage", text, 'set "storage-driver": "overlay2" in /etc/docker/daemon.json')
        )
    if not any("seccomp" in option for option in security):
        text = "The engine has no seccomp: packs would see every system call."
        findings.append(Finding("problem", "seccomp", text, "use a kernel with CONFIG_SECCOMP_FILTER"))
    if not any(word in option for option in security for word in ("rootless", "userns")):
        text = "No user namespace: root in a container is root here. (Packs never run as root; this is a second wall.)"
        findings.append(Finding("warning", "userns", text, 'set "userns-remap": "default" in /etc/docker/daemon.json'))
    return findings


def socket_facts(address: Address) -> list[Finding]:
    """Who may open the engine's socket is root on this machine."""
    if address.host:
        text = "The engine is on another machine: the sockets of packs do not get there."
        return [Finding("warning", "socket", text, "unset DOCKER_HOST")]
    if Path(address.socket).stat().st_mode & 0o002:
        text = "Everybody on this machine may write to the engine's socket, which makes everybody root."
        return [Finding("warning", "socket", text, f"sudo chmod o-rw {address.socket}")]
    return []


def check_image(site: Site) -> list[Finding]:
    address = read_address(site.environment)
    found = engine.ping(address)
    if found.reply is not engine.Reply.ANSWERS:
        return [Finding("problem", "image", "The sandbox image cannot be looked for without an engine.", SETUP)]
    recipe = read_recipe(site.root, site.host.codename, found.architecture)
    if image.find(Engine(address), recipe):
        return [Finding("ok", "image", f"{recipe.tag} with Python {recipe.python}")]
    return [Finding("problem", "image", "The sandbox image of this checkout is not built.", SETUP)]


def check_ports(site: Site) -> list[Finding]:
    return [port_finding(listener) for listener in listeners(site.environment) if listener.port]


def port_finding(listener: Listener) -> Finding:
    where = f"port {listener.port} of {listener.bind}"
    if not is_taken(listener):
        return Finding("ok", listener.name, f"{where} is free")
    text = f"{where} is taken: by a Rumi that runs, or by another program."
    return Finding("warning", listener.name, text, f"{listener.setting}={listener.port + 1} python3 bootstrap.py run")


CHECKS: tuple[Callable[[Site], list[Finding]], ...] = (
    check_python,
    check_host,
    check_disk,
    check_engine,
    check_image,
    check_ports,
)


def kernel_checks(site: Site) -> int:
    """The kernel's own doctor, if there is one that can run; its exit code."""
    if not venv.is_ready(site, "base") or not (site.root / "app.py").is_file():
        return 0
    try:
        done = site.runner.run([str(site.python), str(site.root / "app.py"), "doctor"], timeout=120)
    except SetupError as error:
        sys.stdout.write(paragraph(f"{'warning':<8} {'kernel':<10} ", error.sentence))
        return 0
    sys.stdout.write(done.out)
    if done.code and not done.out:
        sys.stdout.write(
            paragraph(f"{'warning':<8} {'kernel':<10} ", f"The kernel's own checks could not run: {done.last_words}")
        )
        return 0
    return done.code
