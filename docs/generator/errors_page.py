"""The page of errors, out of the one error tree and the one table of statuses and exit codes."""

from __future__ import annotations

from core_runtime.errors import error_classes
from core_runtime.interfaces.error_table import ExitCode, documented_codes
from generator.markdown import code, page, table

_INTRODUCTION = """
Packs, the admin API and the `rumi` command meet the same errors. Each has a `code` from this list, a `message` for
people, a `hint` that says what to do next (often the command to paste), a `request_id` that also stands in the audit
trail, and `details` for programs. No error carries a secret, a path of the host or a traceback.

```json
{"error": {"code": "NOT_FOUND", "message": "There is no pack 'nosuch'.", "hint": "rumi pack list", "request_id": ""}}
```

With `--json`, a failed command prints such an object (without `details`) on standard output and ends with the exit
code. The admin API answers `{"success": false, "error": {...}}` with the status.
"""

_NOTES = """
`APPROVAL_DENIED` ends with 3 instead of 5 where approving the pack would not help: it is blocked, disabled or invalid.

`UNAVAILABLE` says in `details.reason` what is missing: `OOM` (out of memory), `NO_RESULT` (the pack ended before it
answered), `IMAGE_MISSING` or `RUNTIME_UNAVAILABLE` (the container engine).
"""

_EXITS = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "it failed",
    ExitCode.USAGE: "the command or its values are wrong",
    ExitCode.REFUSED: "policy refuses it",
    ExitCode.NOT_FOUND: "there is no such thing",
    ExitCode.NEEDS_PERSON: "a person has to decide first",
    ExitCode.UNREACHABLE: "no kernel answers; start it with `rumi serve`",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
}


def build() -> str:
    """The page."""
    classes = error_classes()
    rows = [
        (code(name.value), " ".join((classes[name].__doc__ or "").split()), str(status), str(int(leaves)))
        for name, status, leaves in documented_codes()
    ]
    exits = [(str(int(number)), _EXITS[number]) for number in ExitCode]
    return page(
        "Errors",
        _INTRODUCTION,
        table(("code", "when", "HTTP status", "exit code"), rows),
        _NOTES,
        "## Exit codes",
        table(("exit code", "means"), exits),
    )
