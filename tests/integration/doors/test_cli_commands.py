"""The `rumi` command against real doors, in processes of its own: shapes, exit codes, and what reaches the terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from core_runtime.authority import Scope

ENTRY = Path(__file__).parent / "cli_entry.py"
PLAN_HASH = "cd" * 32
HOSTILE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)


def environment(**extra: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONWARNINGS": "error", **extra}


@pytest.fixture
def rumi(running) -> Callable[..., Ended]:
    def run(*arguments: str, socket: str | None = None, stdin: str = "", **env: str) -> Ended:
        done = subprocess.run(
            [sys.executable, str(ENTRY), socket or str(running.socket), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            env=environment(**env),
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


def on_terminal(running, *arguments: str, answer: bytes = b"", **env: str) -> tuple[int, str]:
    """Run on a pseudo terminal of 80 columns; `answer` is typed once it asks."""
    pid, master = pty.fork()
    if pid == 0:
        os.execve(
            sys.executable,
            [sys.executable, str(ENTRY), str(running.socket), *arguments],
            environment(TERM="xterm-256color", COLUMNS="80", **env),
        )
    shown, typed = b"", False
    while True:
        try:
            got = os.read(master, 4096)
        except OSError:
            break
        if not got:
            break
        shown += got
        if answer and not typed and b"[y/N]" in shown:
            os.write(master, answer)
            typed = True
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


LISTS = [
    (("pack", "list"), {"pack_id", "state", "digest", "version", "rating"}),
    (("grant", "list"), {"principal", "permission", "mode"}),
    (("permission", "list"), {"permission", "risk", "sentence"}),
    (("flow", "list"), {"flow_id", "owner", "state"}),
    (("store", "list"), {"pack_id", "store"}),
    (("store", "list", "notes/notes"), {"key", "version"}),
    (("token", "list"), {"name", "scopes"}),
    (("audit", "tail"), {"seq", "category", "outcome"}),
    (("audit", "query", "--category", "approval"), {"seq", "category", "outcome"}),
    (("pack", "logs", "notes"), {"ts", "level", "text"}),
    (("doctor",), {"severity", "code", "subject", "message", "hint"}),
]


@pytest.mark.parametrize(("arguments", "keys"), LISTS, ids=[" ".join(arguments) for arguments, _ in LISTS])
def test_lists_with_json_are_arrays_of_objects(rumi, running, arguments, keys):
    running.token(Scope.READ)
    ended = rumi(*arguments, "--json")
    assert ended.err == ""
    assert isinstance(ended.json, list)
    assert ended.json
    assert all(keys <= set(row) for row in ended.json)


@pytest.mark.parametrize("arguments", [arguments for arguments, _ in LISTS], ids=[" ".join(a) for a, _ in LISTS])
def test_lists_in_a_pipe_are_plain_and_hold_nothing_that_acts_on_a_terminal(rumi, arguments):
    ended = rumi(*arguments)
    assert ended.out.strip()
    assert not HOSTILE.search(ended.out.replace("\n", ""))
    assert "\u2500" not in ended.out


OBJECTS = [
    (("pack", "plan", "notes"), {"pack_id", "digest", "plan_hash", "files", "permissions", "rating"}),
    (("pack", "show", "notes"), {"pack_id", "origin"}),
    (("status",), {"diagnostics"}),
    (("status", "--settings"), {"diagnostics", "settings"}),
    (("audit", "verify"), {"ok", "files", "lines", "first_bad"}),
    (("permission", "show", "store.get"), {"permission", "config_schema"}),
    (("flow", "explain", "hello"), {"flow_id", "steps"}),
    (("store", "get", "notes/notes", "a/b c"), {"key", "value", "version"}),
    (("token", "add", "printed once", "--scope", "read", "--expires", "7d"), {"token", "name", "scopes"}),
    (("grant", "give", "notes", "store.get", "--config", 'stores:=["a"]'), {"principal", "permission"}),
    (("grant", "take", "notes", "store.get"), {"principal", "permission"}),
    (("pack", "approve", "notes", "--yes"), {"pack_id", "state"}),
    (("pack", "digest", "."), {"digest"}),
]


@pytest.mark.parametrize(("arguments", "keys"), OBJECTS, ids=[" ".join(arguments) for arguments, _ in OBJECTS])
def test_objects_with_json_hold_what_scripts_rely_on(rumi, arguments, keys):
    ended = rumi(*arguments, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert keys <= set(ended.json)


@pytest.mark.parametrize("arguments", [arguments for arguments, _ in OBJECTS if "add" not in arguments], ids=" ".join)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_objects_for_people_are_text_in_both_languages(rumi, arguments, language):
    ended = rumi(*arguments, "--lang", language)
    assert ended.code == 0
    assert ended.out.strip()
    assert not HOSTILE.search(ended.out.replace("\n", ""))


def test_call_prints_the_value_that_was_returned(rumi):
    assert rumi("call", "service.hello", "--arg", "name=Ada", "--json").out == '{"message": "Hello, Ada!"}\n'
    assert json.loads(rumi("call", "service.hello", "--arg", "name=Ada").out) == {"message": "Hello, Ada!"}


def test_flow_run_prints_the_outputs_and_inputs_are_text_json_or_a_file(rumi, tmp_path):
    (tmp_path / "more.json").write_text('{"c": [1], "a": "from the file"}')
    ended = rumi(
        "flow", "run", "hello", "--input", f"@{tmp_path / 'more.json'}", "--input", "a=1", "--input", "b:=2", "--json"
    )
    assert ended.json == {"echo": {"a": "1", "b": 2, "c": [1]}}
    assert rumi("flow", "run", "hello", "--input", "@-", "--json", stdin='{"x": null}').json == {"echo": {"x": None}}
    assert rumi("flow", "run", "hello", "--detach", "--json").json["run_id"] == "run_1"


def test_pack_digest_prints_64_hex_digits_without_a_kernel(rumi, tmp_path):
    assert re.fullmatch(r"[0-9a-f]{64}\n", rumi("pack", "digest", ".", socket=str(tmp_path / "none")).out)


def test_token_add_prints_the_token_alone_on_standard_output(rumi):
    ended = rumi("token", "add", "alone", "--scope", "read", "--scope", "operate")
    assert re.fullmatch(r"rumi_[\w-]{43}\n", ended.out)
    assert "not shown again" in ended.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("pack", "list"), 0),
        (("call", "service.broken"), 1),
        (("call", "service.oom"), 1),
        (("pack", "approve", "notes", "--plan", "00" * 32), 1),
        (("pack", "nonsense"), 2),
        (("pack", "show"), 2),
        (("pack", "list", "--nonsense"), 2),
        (("call", "service.hello", "--arg", "no pair"), 2),
        (("token", "add", "x", "--scope", "everything"), 2),
        (("token", "add", "x", "--scope", "read", "--expires", "soon"), 2),
        (("pack", "digest", "/no/such/folder"), 2),
        (("flow", "validate", "bad.flow.yaml"), 2),
        (("call", "service.refused"), 3),
        (("pack", "show", "nobody"), 4),
        (("call", "service.none"), 4),
        (("store", "get", "notes/notes", "nothing"), 4),
        (("call", "service.pending"), 5),
        (("serve",), 7),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, tuple) else str(value),
)
def test_exit_codes(rumi, arguments, code):
    assert rumi(*arguments).code == code


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("call", "service.refused"), "GRANT_DENIED"),
        (("pack", "show", "nobody"), "NOT_FOUND"),
        (("pack", "nonsense"), "VALIDATION_ERROR"),
        (("pack", "show"), "VALIDATION_ERROR"),
        (("pack", "approve", "notes"), "VALIDATION_ERROR"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_a_failed_command_with_json_prints_the_error_as_its_document(rumi, arguments, code):
    ended = rumi(*arguments, "--json")
    assert set(ended.json) == {"error"}
    assert set(ended.json["error"]) == {"code", "message", "hint", "request_id"}
    assert ended.json["error"]["code"] == code
    assert ended.code != 0
    assert ended.err == ""


def test_without_a_kernel_it_is_exit_code_6_and_says_rumi_serve(rumi, tmp_path):
    gone = str(tmp_path / "admin.sock")
    ended = rumi("pack", "list", socket=gone)
    assert (ended.code, ended.out) == (6, "")
    assert "rumi serve" in ended.err
    assert rumi("pack", "list", "--json", socket=gone).json["error"]["hint"] == "rumi serve"
    assert rumi("pack", "list", "--json", socket=gone).code == 6


@pytest.mark.parametrize(
    "arguments",
    [
        ("doctor",),
        ("audit", "verify"),
        ("pack", "digest", "."),
        ("flow", "validate", "good.flow.yaml"),
        ("bench", "P1"),
    ],
    ids=" ".join,
)
def test_these_work_without_a_kernel(rumi, tmp_path, arguments):
    ended = rumi(*arguments, socket=str(tmp_path / "none"))
    assert ended.code == (1 if arguments == ("doctor",) else 0)
    assert ended.out


def test_flow_validate_names_line_and_column_and_the_way_out(rumi):
    ended = rumi("flow", "validate", "bad.flow.yaml")
    assert "bad.flow.yaml:3:5: unknown key stesp" in ended.out
    assert "Did you mean steps?" in ended.out


def test_flow_approve_sends_the_name_and_the_digest_of_what_the_owner_sees(rumi, running, tmp_path):
    file = tmp_path / "mine.flow.yaml"
    file.write_text("flow_id: mine\n")
    assert rumi("flow", "approve", str(file)).code == 0
    import hashlib

    assert running.kernel.calls[-1] == (
        "approve_file",
        ("mine.flow.yaml", hashlib.sha256(b"flow_id: mine\n").hexdigest()),
    )


# --- approving


def test_without_a_terminal_approve_needs_a_plan_or_yes(rumi, running):
    before = len(running.kernel.calls)
    ended = rumi("pack", "approve", "notes")
    assert ended.code == 2
    assert "--plan" in ended.err
    assert "--yes" in ended.err
    assert len(running.kernel.calls) == before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--yes",), (None, None)),
        (("--plan", PLAN_HASH), (PLAN_HASH, None)),
        (("--yes", "--grant", "none"), (None, [])),
        (("--yes", "--grant", "all"), (None, ["store.get", "http.request"])),
        (("--yes", "--grant", "store.get", "--grant", "store.set"), (None, ["store.get", "store.set"])),
    ],
    ids=["yes", "plan", "none", "all", "names"],
)
def test_approve_grants_what_was_asked_for(rumi, running, options, expected):
    assert rumi("pack", "approve", "notes", *options).code == 0
    assert running.kernel.calls[-1] == ("approve", ("notes", *expected))


def test_all_and_names_together_are_wrong_usage(rumi):
    assert rumi("pack", "approve", "notes", "--yes", "--grant", "all", "--grant", "store.get").code == 2


def test_on_a_terminal_approve_shows_the_plan_and_approves_exactly_that(running):
    code, shown = on_terminal(running, "pack", "approve", "notes", answer=b"y\n")
    assert code == 0
    assert "Sends requests to api.example.com" in shown
    assert running.kernel.calls[-1] == ("approve", ("notes", PLAN_HASH, None))


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"yess\n", b"\x04"], ids=["no", "empty", "unclear", "end-of-file"])
def test_anything_but_a_clear_yes_approves_nothing(running, answer):
    before = len(running.kernel.calls)
    code, shown = on_terminal(running, "pack", "approve", "notes", answer=answer)
    assert code == 1
    assert "Nothing was approved" in shown
    assert len(running.kernel.calls) == before


def test_ctrl_c_while_it_asks_ends_with_130_and_no_traceback(running):
    code, shown = on_terminal(running, "pack", "approve", "notes", answer=b"\x03")
    assert code == 130
    assert "Traceback" not in shown


# --- the terminal


def plain(shown: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", shown).replace("\r", "").split("\n")


@pytest.mark.parametrize("language", ["en_US.UTF-8", "ja_JP.UTF-8"])
@pytest.mark.parametrize(
    "arguments",
    [("pack", "plan", "notes"), ("pack", "list"), ("status",), ("pack", "logs", "notes"), ("--help",)],
    ids=" ".join,
)
def test_on_a_terminal_of_80_columns_only_colours_are_sent_and_stranger_text_cannot_act(running, arguments, language):
    from core_runtime.interfaces.cli.terminal_text import width_of

    code, shown = on_terminal(running, *arguments, LANG=language)
    assert code == 0
    lines = plain(shown)
    assert "\x1b" not in "".join(lines)
    assert not HOSTILE.search("".join(lines))
    if arguments == ("pack", "plan", "notes"):
        assert max(map(width_of, lines)) <= 80


def test_the_language_follows_the_locale_and_lang_overrides_it(rumi):
    assert "署名者" in rumi("pack", "plan", "notes", LANG="ja_JP.UTF-8").out
    assert "署名者" in rumi("pack", "plan", "notes", LC_ALL="ja_JP.UTF-8", LANG="en_US.UTF-8").out
    assert "Signed by" in rumi("pack", "plan", "notes", "--lang", "en", LANG="ja_JP.UTF-8").out
    assert "承認" in rumi("pack", "--help", LANG="ja_JP.UTF-8").out


def test_json_is_valid_where_the_terminal_cannot_show_every_character(rumi):
    ended = rumi("pack", "plan", "notes", "--json", PYTHONIOENCODING="ascii")
    assert ended.json["permissions"][0]["sentence"]["ja"].startswith("自分")


def test_a_reader_that_has_seen_enough_is_no_error(running):
    command = f"{sys.executable} {ENTRY} {running.socket} pack plan notes --full | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=30, env=environment(), check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_following_a_log_ends_with_130_and_no_traceback_on_ctrl_c(running):
    process = subprocess.Popen(
        [sys.executable, str(ENTRY), str(running.socket), "audit", "tail", "--follow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert len(out.strip().split("\n")) == 5
    assert "Traceback" not in err


# --- over a URL


def test_a_url_needs_a_token_from_a_file_or_the_environment(rumi, running, tmp_path):
    url = f"http://127.0.0.1:{running.port}"
    secret = running.token(Scope.READ, name="for the url")
    assert rumi("pack", "list", "--url", url).code == 2
    assert rumi("pack", "list", "--url", url, RUMI_TOKEN=secret).code == 0
    file = tmp_path / "token"
    file.write_text(secret + "\n")
    file.chmod(0o600)
    assert rumi("pack", "list", "--url", url, "--token-file", str(file)).code == 0
    assert rumi("pack", "approve", "notes", "--yes", "--url", url, "--token-file", str(file)).code == 3
    file.chmod(0o644)
    ended = rumi("pack", "list", "--url", url, "--token-file", str(file))
    assert ended.code == 2
    assert "chmod 600" in ended.err
    assert rumi("pack", "list", "--url", url, RUMI_TOKEN="rumi_wrong").code == 3


@pytest.mark.parametrize(
    "url",
    [
        "http://example.test:8765",
        "ftp://127.0.0.1",
        "127.0.0.1:8765",
        "http://",
        "http://u:p@127.0.0.1:1",
        "http://[::",
    ],
)
def test_ad_10_a_token_is_never_sent_to_what_is_no_loopback_address_in_the_clear(rumi, url):
    ended = rumi("pack", "list", "--url", url, RUMI_TOKEN="rumi_secret")
    assert ended.code == 2
    assert "rumi_secret" not in ended.err


def test_ad_10_no_option_takes_a_token_where_the_process_list_would_show_it(rumi):
    ended = rumi("pack", "list", "--help")
    assert "--token-file" in ended.out
    assert rumi("pack", "list", "--token", "rumi_x").code == 2


def test_a_server_that_is_no_kernel_is_exit_code_6(rumi):
    import http.server
    import threading

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_):
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        ended = rumi("pack", "list", "--url", f"http://127.0.0.1:{server.server_port}", RUMI_TOKEN="x")
        thread.join()
    assert ended.code == 6


# --- every command


def commands() -> list[tuple[str, ...]]:
    from core_runtime.interfaces.cli.application import build_cli
    from core_runtime.interfaces.cli.hooks import CliHooks

    hooks = CliHooks(*([None] * 6))  # type: ignore[arg-type]
    app = build_cli(hooks)
    found = [(str(command.name),) for command in app.registered_commands]
    for group in app.registered_groups:
        found += [(str(group.name), str(command.name)) for command in group.typer_instance.registered_commands]
    return found


def test_the_commands_are_those_of_the_page():
    wanted = """serve status doctor call|pack list show plan approve reject unblock disable enable logs digest
        |grant list give take|permission list show|flow list validate approve run explain|store list get
        |audit tail query verify|token add list revoke"""
    first, *groups = [part.split() for part in wanted.split("|")]
    expected = {(name,) for name in first} | {(group[0], name) for group in groups for name in group[1:]}
    assert set(commands()) == expected


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_json_and_the_way_to_the_kernel_and_help_in_japanese(command):
    from typer.testing import CliRunner

    from core_runtime.interfaces.cli.application import build_cli
    from core_runtime.interfaces.cli.hooks import CliHooks

    hooks = CliHooks(*([None] * 6))  # type: ignore[arg-type]
    shown = CliRunner().invoke(build_cli(hooks, "ja"), [*command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    for option in ("--json", "--url", "--token-file", "--lang"):
        assert option in shown.output
    described = [
        line for line in shown.output.split("\n") if re.match(r"  (--?\w|\S+ +\S)", line) and "--help" not in line
    ]
    assert all(re.search(r"[ぁ-んァ-ヶ一-龠]", line) for line in described if "--" in line or "INTERFACE" in line), (
        described
    )
