# ruff: noqa: INP001  (a script for a build stage: nothing imports it, and docker/ must never become a package)
"""Copy the little that the sandbox image needs out of a donor into an empty root.

Runs inside a build stage, under the donor's own Python, and must work the same on both donors: a slim Python image of a
registry, and a bare root file system made from a distribution's packages. It is a list of what may come in, never a
list of what to throw out: a shell, a package manager or a set-uid file that a donor grows tomorrow stays outside.

It must never reach for the network, nor leave a file in the new root that a pack could write to or gain rights by.
"""

import compileall
import os
import py_compile
import re
import shutil
import ssl
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

PYCACHE_PREFIX = Path("/opt/rumi/pycache")  # the agent sets sys.pycache_prefix to this very path
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
CA_SOURCES = Path("/usr/share/ca-certificates")
ZONEINFO = Path("/usr/share/zoneinfo")

LEFT_OUT = (
    "__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip",
    "config-*", "sitecustomize.py", "turtle.py", "EXTERNALLY-MANAGED", "_tkinter*", "*.exe",
)  # fmt: skip
LEFT_OUT_ZONES = ("posix", "right", "posixrules", "localtime")

# What the wheels of packs are linked against, beyond what the interpreter needs itself (see the manylinux policies).
WHEEL_LIBRARIES = ("libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0",
                   "libutil.so.1", "libresolv.so.2", "libz.so.1")  # fmt: skip

TEXT_FILES = {
    "/etc/passwd": "root:x:0:0:root:/:/nonexistent\nnobody:x:65534:65534:nobody:/nonexistent:/nonexistent\n",
    "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
MOUNT_POINTS = {"/tmp": 0o1777, "/run/rumi": 0o755, "/pack": 0o755, "/deps": 0o755, "/opt/rumi": 0o755}  # noqa: S108


def put(source: Path, root: Path) -> None:
    """Copy one file to the same place below `root`; a symbolic link brings its target along."""
    target = root / source.parent.resolve().relative_to("/") / source.name
    if target.is_symlink() or target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(os.readlink(source))  # noqa: PTH115  (the text of the link, not its target's path object)
        put(source.parent / os.readlink(source), root)  # noqa: PTH115
        return
    shutil.copyfile(source, target)
    target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def loader() -> Path:
    """The dynamic loader of this machine: it alone knows where a library is really taken from."""
    found = sorted({*Path("/lib64").glob("ld-linux*.so.*"), *Path("/lib").glob("ld-linux*.so.*")})
    if not found:
        raise SystemExit("assemble: the donor has no dynamic loader of glibc")
    return found[0]


def libraries_of(program: Path, ld: Path) -> set[Path]:
    """Every shared library that the loader would map for `program`."""
    done = subprocess.run([str(ld), "--list", str(program)], capture_output=True, text=True, check=False)
    if "not found" in done.stdout:
        raise SystemExit(f"assemble: {program} needs a library that the donor lacks:\n{done.stdout}")
    return {Path(match) for match in re.findall(r"=> (/\S+)", done.stdout)}


def put_top_level_links(root: Path) -> None:
    """Where the donor has merged /lib into /usr/lib, so does the new root: programs name their loader by its path."""
    for name in ("bin", "lib", "lib64"):
        link = Path("/", name)
        if link.is_symlink():
            (root / link.resolve().relative_to("/")).mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(os.readlink(link))  # noqa: PTH115


def put_interpreter(root: Path, stdlib: Path) -> None:
    """The interpreter, the standard library but for its tests and its desktop parts, and the libraries below them."""
    interpreter = Path(sys.executable).resolve()
    put(interpreter, root)
    kept = root / stdlib.relative_to("/")
    shutil.copytree(
        stdlib, kept, symlinks=False, ignore=shutil.ignore_patterns(*LEFT_OUT), ignore_dangling_symlinks=True
    )
    ld = loader()
    put(ld, root)
    folder = next(iter(sorted(path.parent for path in libraries_of(interpreter, ld) if path.name == "libc.so.6")))
    wanted = [interpreter, *kept.rglob("*.so")]
    for name in WHEEL_LIBRARIES:
        found = [place / name for place in (folder, Path("/usr") / folder.relative_to("/")) if (place / name).exists()]
        if not found:
            raise SystemExit(f"assemble: the donor lacks {name}")
        put(found[0], root)
        wanted.append(found[0])
    for program in wanted:
        for library in libraries_of(program, ld):
            put(library, root)
    if Path(
        "/etc/ld.so.cache"
    ).exists():  # a donor with libraries outside the loader's built-in folders needs its index
        put(Path("/etc/ld.so.cache"), root)
    link = root / "usr/bin/python3"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(interpreter)


def put_data(root: Path) -> None:
    """Certificates, time zones, the two users, and the folders that a container mounts over (its root is read-only)."""
    bundle = root / CA_BUNDLE.relative_to("/")
    bundle.parent.mkdir(parents=True, exist_ok=True)
    if CA_BUNDLE.exists():
        shutil.copyfile(CA_BUNDLE, bundle)
    else:
        bundle.write_bytes(b"".join(path.read_bytes() for path in sorted(CA_SOURCES.rglob("*.crt"))))
    expected = Path(ssl.get_default_verify_paths().openssl_cafile)
    if expected != CA_BUNDLE:
        (root / expected.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
        (root / expected.relative_to("/")).symlink_to(CA_BUNDLE)
    shutil.copytree(
        ZONEINFO, root / ZONEINFO.relative_to("/"), symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT_ZONES)
    )
    for name, text in TEXT_FILES.items():
        (root / name.lstrip("/")).write_text(text, encoding="utf-8")
    for name, mode in MOUNT_POINTS.items():
        folder = root / name.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)


def put_byte_code(root: Path, stdlib: Path) -> None:
    """Compile once, here: the container's root is read-only, so nothing could be kept later.

    The files lie under one prefix, which the agent names; each library folder's own `__pycache__` is a link into it, so
    that what is imported before that line, and a Python that a pack starts itself, find the same byte code.
    """
    kept = root / stdlib.relative_to("/")
    sys.pycache_prefix = str(root / PYCACHE_PREFIX.relative_to("/"))
    left_out = re.compile(
        "/(?:"
        + "|".join(name for name in LEFT_OUT if "*" not in name and "." not in name)
        + ")/|/config-|lib2to3/tests"
    )
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(str(stdlib), quiet=2, rx=left_out, invalidation_mode=mode, workers=0)
    for folder in [kept, *(path for path in kept.rglob("*") if path.is_dir())]:
        prefixed = PYCACHE_PREFIX / folder.relative_to(root)
        if (root / prefixed.relative_to("/")).is_dir():
            (folder / "__pycache__").symlink_to(prefixed)


def check(root: Path) -> None:
    """Refuse to hand over a root that holds a rights-giving file, a shell or a package manager."""
    unwanted = re.compile(r"(?:ba|da|z|k|c|tc|fi)?sh|busybox|apt.*|dpkg.*|perl.*|pip3?|su|sudo|mount|env")
    for path in root.rglob("*"):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH):
            raise SystemExit(f"assemble: {path} would give rights")
        if path.parent.name in {"bin", "sbin"} and unwanted.fullmatch(path.name):
            raise SystemExit(f"assemble: {path} has no place in the sandbox")


def main() -> None:
    """Fill the folder named on the command line."""
    os.umask(0o022)
    root = Path(sys.argv[1])
    root.mkdir(parents=True, exist_ok=True)
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    put_top_level_links(root)
    put_interpreter(root, stdlib)
    put_data(root)
    put_byte_code(root, stdlib)
    check(root)


if __name__ == "__main__":
    main()
