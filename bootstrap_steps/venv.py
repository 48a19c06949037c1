"""Stage 1: a virtual environment in `.venv` that holds exactly what the lock names.

The mark of success is a file with the lock's digest, written last and taken away before anything is changed. A kill at
any instant therefore leads to another installation, never to a half-installed one that counts as whole. Where packages
come from is the owner's pip configuration; their hashes are ours.
"""

import hashlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from bootstrap_steps import packages
from bootstrap_steps.host import Finished
from bootstrap_steps.report import SetupError, disk_full
from bootstrap_steps.site import Site, read_json, write_atomically

STAGE = "python"
SCARCE_BYTES = 16 << 20
OLDEST_MINOR = 11
LAUNCHER = (
    "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n"
    "import sys\n\nfrom rumi_command import main\n\nsys.exit(main())\n"
)
NO_NETWORK = (
    "Failed to establish a new connection", "Temporary failure in name resolution", "Name or service not known",
    "Connection refused", "Network is unreachable", "No route to host", "ProxyError", "Read timed out", "timed out",
    "CERTIFICATE_VERIFY_FAILED", "Could not fetch URL", "(from versions: none)",
)  # fmt: skip


def marker(site: Site) -> Path:
    """The file that says which locks are installed, with which Python and in which place."""
    return site.venv / "rumi-installed.json"


def made_by_us(site: Site) -> Path:
    """The file that says that the set-up made this folder: without it, uninstall leaves the folder alone."""
    return site.venv / "rumi-made"


def is_ready(site: Site, lock: str) -> bool:
    """Whether the lock (`base` or `test`) is installed, unchanged, and neither the folder nor its Python went away."""
    found = read_json(marker(site))
    return (
        found.get(lock) == lock_digest(site, lock)
        and found.get("place") == str(site.root)
        and found.get("interpreter") == str(site.python.resolve())
        and site.python.exists()
        and (site.venv / "bin" / "rumi").exists()
        and (site_packages(site) / "rumi.pth").exists()
    )


def ensure(site: Site, lock: str, has_ensurepip: Callable[[], bool] | None = None) -> None:
    """Make `.venv` hold what `requirements/<lock>.lock` names."""
    if is_ready(site, lock):
        if (site.venv / "bin" / "rumi").read_text(encoding="utf-8") != launcher_text(site):
            write_launcher(site)
        site.reporter.line(STAGE, f"ready: .venv with Python {version(site)}")
        return
    digests = {lock: lock_digest(site, lock)}
    if lock == "test":  # a superset: who has it needs no other installation for a plain run
        digests["base"] = lock_digest(site, "base")
    if is_whole(site):
        marker(site).unlink(missing_ok=True)
    else:
        make(site, has_ensurepip or find_ensurepip)
    forget_half_installed(site)
    with site.reporter.work(STAGE, f"installing {count(site, lock)} locked packages into .venv"):
        install(site, lock)
        write_launcher(site)
    record = {**digests, "interpreter": str(site.python.resolve()), "place": str(site.root)}
    write_atomically(marker(site), json.dumps(record, indent=1) + "\n")


def version(site: Site) -> str:
    """The version of the environment's own Python, which need not be the one that runs this."""
    lines = (site.venv / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    return next((line.partition("=")[2].strip() for line in lines if line.startswith("version")), "")


def lock_file(site: Site, lock: str) -> Path:
    return site.root / "requirements" / f"{lock}.lock"


def lock_digest(site: Site, lock: str) -> str:
    path = lock_file(site, lock)
    if not path.is_file():
        raise SetupError(
            f"requirements/{lock}.lock is missing: this checkout is not whole.", "git checkout -- requirements"
        )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def count(site: Site, lock: str) -> int:
    """How many packages a lock names."""
    return sum(
        "==" in line and not line.startswith((" ", "#"))
        for line in lock_file(site, lock).read_text(encoding="utf-8").splitlines()
    )


def site_packages(site: Site) -> Path:
    """Where this environment's Python looks for packages."""
    found = list((site.venv / "lib").glob("python3.*/site-packages"))
    return found[0] if len(found) == 1 else site.venv / "lib" / "python3" / "site-packages"


def is_whole(site: Site) -> bool:
    """Whether a virtual environment stands there whose Python is new enough, unmoved, and has a complete pip."""
    minor = site_packages(site).parent.name.removeprefix("python3.")
    before = read_json(marker(site)).get("interpreter", str(site.python.resolve()))
    pips = list(site_packages(site).glob("pip-*.dist-info"))
    return (
        (site.venv / "pyvenv.cfg").is_file()
        and minor.isdecimal()
        and int(minor) >= OLDEST_MINOR
        and site.python.exists()
        and str(site.python.resolve()) == before
        and len(pips) == 1
        and is_installed(pips[0])
    )


def is_installed(record: Path) -> bool:
    """pip writes a distribution's final RECORD, which names its INSTALLER file, after every other file of it."""
    file = record / "RECORD"
    return file.is_file() and f"{record.name}/INSTALLER," in file.read_text(encoding="utf-8", errors="replace")


def forget_half_installed(site: Site) -> None:
    """Take away the card of every distribution that a kill left half-way: pip would believe it and skip the rest."""
    for record in site_packages(site).glob("*.dist-info"):
        if not is_installed(record):
            shutil.rmtree(record)


def make(site: Site, has_ensurepip: Callable[[], bool]) -> None:
    """Make the virtual environment anew; a folder that somebody else put there is not ours to clear."""
    if site.venv.exists() and any(site.venv.iterdir()) and not made_by_us(site).exists():
        raise SetupError(
            "There is a .venv that does not work, and the set-up did not make it.",
            "mv .venv .venv.old && python3 bootstrap.py setup",
        )
    if not has_ensurepip():
        minor = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        packages.install(site, STAGE, [minor], "Python's own venv module")
    with site.reporter.work(STAGE, "making .venv"):
        if site.venv.exists():
            shutil.rmtree(site.venv)
        site.venv.mkdir()
        made_by_us(site).touch()
        done = site.runner.run([interpreter(), "-m", "venv", str(site.venv)], timeout=300)
    if done.code:
        raise explain(all_words(site, done), done.last_words, f"{sys.executable} -m venv .venv")


def find_ensurepip() -> bool:
    """Debian keeps the module that puts pip into a new environment in a package of its own."""
    return importlib.util.find_spec("ensurepip") is not None


def interpreter() -> str:
    """The Python below any virtual environment that this very process may run in."""
    base = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    return str(base) if sys.prefix != sys.base_prefix and base.exists() else sys.executable


def install(site: Site, lock: str) -> None:
    """Let pip install the lock: hashes are required, so neither a mirror nor an index can slip in other bytes."""
    command = [
        "-m",
        "pip",
        "install",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar",
        "off",
        "--require-hashes",
        "-r",
        str(lock_file(site, lock)),
    ]
    done = site.runner.run([str(site.python), *command], timeout=3600)
    if done.code:
        raise explain(
            all_words(site, done),
            done.last_words,
            f".venv/bin/python -m pip install --require-hashes -r requirements/{lock}.lock",
        )


def all_words(site: Site, done: Finished) -> str:
    """Everything a step said, and what it may have kept to itself: venv hides why its pip could not be written."""
    full = shutil.disk_usage(site.root).free < SCARCE_BYTES
    return done.out + done.err + ("\nNo space left on device" if full else "")


def explain(said: str, last_words: str, command: str) -> SetupError:
    """The sentence behind pip's own many lines."""
    if "No space left on device" in said:
        return disk_full("python3 bootstrap.py setup")
    if "DO NOT MATCH THE HASHES" in said:
        return SetupError(
            "A downloaded package is not the one that the lock names; nothing of it was installed.",
            "check pip's index and proxy (pip config list), then: python3 bootstrap.py setup",
        )
    if any(word in said for word in NO_NETWORK):
        return SetupError(
            "pip cannot reach a package index.",
            "check the network, or set PIP_INDEX_URL; then: python3 bootstrap.py setup",
        )
    return SetupError(f"The virtual environment could not be filled: {last_words}", command)


def write_launcher(site: Site) -> None:
    """`.venv/bin/rumi`, and the checkout on the path of this environment: quicker than a build, and nothing to fetch.

    The launcher is a shell line that starts Python on itself, since the first line of a script may hold neither a long
    path nor one with a space.
    """
    write_atomically(site_packages(site) / "rumi.pth", f"{site.root}\n")
    launcher = site.venv / "bin" / "rumi"
    write_atomically(launcher, launcher_text(site))
    launcher.chmod(0o755)


def launcher_text(site: Site) -> str:
    """What `.venv/bin/rumi` holds in this version."""
    return LAUNCHER.format(python=str(site.python))
