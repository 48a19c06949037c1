# ruff: noqa: INP001  (run inside the image by its text alone: nothing imports it)
"""What an image must show before it may be used: run in it, hardened as for a pack, by `python3 -I -B -c`.

Prints one JSON object and ends with 0, or says what is wrong and ends with 1. It must not need anything that the image
does not have, and it changes nothing.
"""

import asyncio
import ctypes
import hashlib
import importlib.util
import json
import os
import re
import sqlite3
import ssl
import stat
import sys
import zoneinfo
from collections.abc import Callable
from pathlib import Path

UNWANTED = re.compile(
    r"(?:ba|da|z|k|c|tc|fi)?sh|busybox|apt.*|dpkg.*|perl.*|pip3?|su|sudo|mount|umount|env|gcc|cc|ld|curl|wget"
)
SYSTEM = {"/proc", "/sys", "/dev"}
MOUNT_POINTS = ("/tmp", "/run/rumi", "/pack", "/deps", "/opt/rumi")  # noqa: S108


def faults_of_files() -> list[str]:
    """What lies in the tree and should not, and what should and does not."""
    found = []
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in SYSTEM]  # noqa: PTH118
        for name in files:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                found.append(f"{path} is set-uid or set-gid")
            if Path(folder).name in {"bin", "sbin"} and UNWANTED.fullmatch(name):
                found.append(f"{path} has no place here")
    found.extend(f"the mount point {name} is missing" for name in MOUNT_POINTS if not Path(name).is_dir())
    cached = {module: importlib.util.cache_from_source(str(module.__file__)) for module in (asyncio, json, hashlib)}
    found.extend(f"{module.__name__} has no byte code" for module, path in cached.items() if not Path(path).is_file())
    return found


def faults_of_libraries() -> list[str]:
    """What a pack may rely on, tried once each."""
    trials: dict[str, Callable[[], bool]] = {
        "certificates": lambda: bool(ssl.create_default_context().get_ca_certs()),
        "time zones": lambda: zoneinfo.ZoneInfo("Asia/Tokyo").key == "Asia/Tokyo",
        "SQLite": lambda: sqlite3.connect(":memory:").execute("select 1").fetchone() == (1,),
        "ctypes": lambda: bool(ctypes.CDLL(None).getpid() == os.getpid()),
        "asyncio": lambda: asyncio.run(asyncio.sleep(0, "awake")) == "awake",
        "not being root": lambda: os.geteuid() != 0,
    }
    return [f"{name}: does not hold" for name, trial in trials.items() if not trial()]


def main() -> int:
    found = faults_of_files() + faults_of_libraries()
    print(json.dumps({"python": ".".join(map(str, sys.version_info[:3])), "faults": found}))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
