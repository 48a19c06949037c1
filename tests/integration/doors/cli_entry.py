"""Runs the command line in a process of its own, with hooks that need no kernel: `cli_entry.py SOCKET ARGUMENTS...`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from core_runtime.errors import ValidationFailed
from core_runtime.interfaces.cli.application import main
from core_runtime.interfaces.cli.hooks import CliHooks, ServeOptions


def serve(options: ServeOptions) -> int:
    print(f"serving, bundled={options.approve_bundled}", file=sys.stderr)
    return 7


def doctor() -> list[dict[str, object]]:
    return [
        {"severity": "ok", "code": "PYTHON", "subject": "python", "message": "Python 3.11", "hint": ""},
        {
            "severity": "problem",
            "code": "ENGINE",
            "subject": "engine",
            "message": "none\x1b[2J",
            "hint": "apt-get install docker.io",
        },
    ]


def digest(path: Path) -> str:
    if not path.is_dir():
        raise ValidationFailed("This is no folder.", hint="rumi pack digest FOLDER")
    return "ab" * 32


def validate(path: Path) -> dict[str, object]:
    if path.name.startswith("good"):
        return {"ok": True, "flow_id": "good", "problems": []}
    problem = {"file": path.name, "line": 3, "column": 5, "message": "unknown key stesp", "hint": "Did you mean steps?"}
    return {"ok": False, "flow_id": None, "problems": [problem]}


def verify() -> dict[str, object]:
    return {"ok": True, "files": 1, "lines": 5, "first_bad": None}


def bench(names: tuple[str, ...]) -> int:
    print(",".join(names) or "all")
    return 0


if __name__ == "__main__":
    socket = Path(sys.argv[1])
    sys.exit(main(CliHooks(lambda: socket, serve, doctor, digest, validate, verify, bench), sys.argv[2:]))
