"""The audit log on real files: the chain, what it refuses, what it survives."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core_runtime.adapters.audit_log import AuditLog, query, tail, verify
from core_runtime.adapters.audit_log.chain import GENESIS, Stamp, check, forge
from core_runtime.adapters.audit_log.reading import Filter
from core_runtime.audit import AuditCategory, AuditEntry, Outcome
from core_runtime.canonical import canonical_json
from core_runtime.errors import StorageFull, Unavailable

DAY_1 = 1_767_312_000.0  # 2026-01-02T00:00:00Z


def sign(data: bytes) -> str:
    return hashlib.sha256(b"key" + data).hexdigest()


class Clock:
    def __init__(self) -> None:
        self.now = DAY_1 + 36_000
        self.ticks = 0.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.ticks


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.fixture
def make(folder: Path, clock: Clock) -> Iterator[Callable[[], AuditLog]]:
    made: list[AuditLog] = []

    def build() -> AuditLog:
        made.append(AuditLog(folder, clock, sign))
        return made[-1]

    yield build
    for log in made:
        log.close()


def entry(action: str = "store.get", **more: object) -> AuditEntry:
    fields: dict[str, object] = {
        "category": AuditCategory.CAPABILITY,
        "action": action,
        "outcome": Outcome.ALLOW,
        "principal": "notes",
        "request_id": "req_1",
        **more,
    }
    return AuditEntry(**fields)  # type: ignore[arg-type]


def lines_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for path in sorted(folder.glob("2*.jsonl")) for line in path.read_text().splitlines()]


def test_a_line_is_with_the_system_when_append_returns_and_chained(make, folder: Path) -> None:
    log = make()
    assert [
        log.append(entry("a")),
        log.append(entry("b", actor="ada", run_id="run_1", rule="r", details={"n": 1})),
    ] == [1, 2]
    first, second = lines_of(folder)
    assert first["prev"] == GENESIS
    assert second["prev"] == first["hash"]
    assert second == {
        "seq": 2,
        "ts": "2026-01-02T10:00:00.000Z",
        "request_id": "req_1",
        "category": "capability",
        "action": "b",
        "outcome": "allow",
        "principal": "notes",
        "actor": "ada",
        "run_id": "run_1",
        "rule": "r",
        "details": {"n": 1},
        "prev": first["hash"],
        "hash": second["hash"],
    }


def test_the_hash_is_that_of_the_canonical_json_without_it(make, folder: Path) -> None:
    make().append(entry(details={"é": ["ü\u2028", 5, None, True, {"b": 1, "a": 2}]}))
    (line,) = lines_of(folder)
    found = line.pop("hash")
    text = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert found == hashlib.sha256(text.encode()).hexdigest()


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=100, deadline=None)
@given(st.text(max_size=30), st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_se_10_whatever_is_said_becomes_one_line_that_checks(text: str, details: dict[str, object]) -> None:
    raw, digest = forge(entry(text, principal=text, rule=text, details=details), 5, "2026-01-02T00:00:00.000Z", GENESIS)
    assert raw.count(b"\n") == 1
    assert raw.endswith(b"\n")
    assert len(raw) <= 4096
    line = json.loads(raw)
    assert check(line, 5, GENESIS) == ""
    assert line["hash"] == digest
    printed = raw.decode("utf-8")
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in printed[:-1])
    assert not set(printed) & set("\u2028\u2029\u202e\u2066")


def test_se_10_a_long_entry_is_cut_to_a_line_of_4_kib() -> None:
    big = {f"k{number}": "é" * 10_000 for number in range(200)}
    raw, _ = forge(entry("a" * 100_000, principal="p" * 1000, rule="é" * 1000, details=big), 1, "t", GENESIS)
    assert len(raw) <= 4096
    line = json.loads(raw)
    assert line["details"] == {"truncated": True}
    assert line["action"].startswith("aaa")


def test_se_01_values_under_keys_that_look_like_secrets_are_not_written() -> None:
    details = {
        "password": "hunter2",
        "api_key": "sk-1",
        "Authorization": "Bearer x",
        "inner": {"session_token": "t0k", "code": "AB12CD"},
        "code": "GRANT_DENIED",
    }
    raw, _ = forge(entry(details=details), 1, "t", GENESIS)
    for secret in (b"hunter2", b"sk-1", b"Bearer", b"t0k", b"AB12CD"):
        assert secret not in raw
    assert json.loads(raw)["details"]["code"] == "GRANT_DENIED"


def test_a_chain_verifies_and_goes_on_after_a_restart(make, folder: Path) -> None:
    log = make()
    for number in range(10):
        log.append(entry(f"a{number}"))
    log.close()
    log = make()
    assert log.append(entry("again")) == 11
    log.close()
    assert verify(folder, sign=sign) == {"ok": True, "files": 1, "lines": 11, "first_bad": None}


def test_a_closed_log_takes_nothing(make) -> None:
    log = make()
    log.close()
    with pytest.raises(Unavailable):
        log.append(entry())


def test_midnight_begins_a_new_file_in_the_same_chain(make, folder: Path, clock: Clock) -> None:
    log = make()
    log.append(entry("today"))
    clock.now = DAY_1 + 86_400
    log.append(entry("tomorrow"))
    log.append(entry("tomorrow"))
    clock.now = DAY_1 + 3600  # a clock set back does not go back to an older file
    log.append(entry("late"))
    log.close()
    names = [path.name for path in sorted(folder.glob("2*.jsonl"))]
    assert names == ["2026-01-02.jsonl", "2026-01-03.jsonl"]
    assert [line["seq"] for line in lines_of(folder)] == [1, 2, 3, 4]
    heads = [json.loads(line) for line in (folder / "heads.jsonl").read_text().splitlines()]
    assert (heads[0]["seq"], heads[0]["file"]) == (1, "2026-01-02.jsonl")
    assert heads[-1]["seq"] == 4
    assert verify(folder, sign=sign)["ok"]


def test_after_a_restart_with_an_older_clock_the_newest_file_goes_on(make, folder: Path, clock: Clock) -> None:
    log = make()
    log.append(entry())
    log.close()
    clock.now = DAY_1 - 86_400 * 365
    log = make()
    assert log.append(entry()) == 2
    log.close()
    assert len(list(folder.glob("2*.jsonl"))) == 1
    assert verify(folder, sign=sign)["ok"]


async def test_durable_means_synced_and_many_share_one_sync(make) -> None:
    log = make()
    await asyncio.gather(*[log.durable(log.append(entry())) for _ in range(200)])
    assert log._durable == 200
    await log.durable(5)


async def test_a_head_is_signed_every_hour(make, folder: Path, clock: Clock) -> None:
    log = make()
    await log.durable(log.append(entry()))
    assert not (folder / "heads.jsonl").exists()
    clock.ticks = 3601
    await log.durable(log.append(entry()))
    await log.durable(log.append(entry()))
    assert len((folder / "heads.jsonl").read_text().splitlines()) == 1


def test_many_threads_append_one_chain(make, folder: Path) -> None:
    log = make()

    def some() -> None:
        for _ in range(100):
            log.append(entry())

    threads = [threading.Thread(target=some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert verify(folder, sign=sign) == {"ok": True, "files": 1, "lines": 400, "first_bad": None}


def test_files_are_private(make, folder: Path) -> None:
    make().append(entry())
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (next(folder.glob("2*.jsonl"))).stat().st_mode & 0o777 == 0o600


def written(make, folder: Path, count: int = 6) -> Path:
    log = make()
    for number in range(count):
        log.append(entry(f"a{number}"))
    log.close()
    return next(folder.glob("2*.jsonl"))


def change(path: Path, edit: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(line + b"\n" for line in edit(path.read_bytes().splitlines())))


EDITS = [
    pytest.param(lambda lines: [line.replace(b'"a2"', b'"aX"') for line in lines], 3, id="a-changed-word"),
    pytest.param(lambda lines: lines[:2] + lines[3:], 3, id="a-line-taken-out"),
    pytest.param(lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], 3, id="two-lines-swapped"),
    pytest.param(lambda lines: [*lines[:3], lines[2], *lines[3:]], 4, id="a-line-twice"),
    pytest.param(lambda lines: [*lines[:2], b"{", *lines[3:]], 3, id="a-broken-line"),
    pytest.param(lambda lines: [*lines[:2], b'{"seq":3}', *lines[3:]], 3, id="a-short-line"),
    pytest.param(lambda lines: [*lines[:2], b"x" * 100_000, *lines[3:]], 3, id="a-huge-line"),
    pytest.param(lambda lines: lines[1:], 1, id="the-first-line-taken-out"),
    pytest.param(lambda lines: [line.replace(b'"seq":3', b'"seq":3.0') for line in lines], 3, id="another-spelling"),
]


@pytest.mark.parametrize(("edit", "where"), EDITS)
def test_verify_names_the_first_bad_line(make, folder: Path, edit, where: int) -> None:
    path = written(make, folder)
    change(path, edit)
    report = verify(folder)
    assert report["ok"] is False
    bad = report["first_bad"]
    assert isinstance(bad, dict)
    assert (bad["file"], bad["line"]) == (path.name, where)
    assert bad["reason"]


def test_lines_cut_off_at_the_end_are_noticed_by_the_signed_head(make, folder: Path) -> None:
    change(written(make, folder), lambda lines: lines[:4])
    report = verify(folder)
    assert isinstance(report["first_bad"], dict)
    assert "line 6 was signed" in str(report["first_bad"]["reason"])
    with pytest.raises(Unavailable, match="line 6 was signed"):
        make()


def test_a_whole_new_chain_does_not_match_the_signed_heads(make, folder: Path, clock: Clock) -> None:
    path = written(make, folder)
    prev, forged = GENESIS, []
    for seq in range(1, 7):
        raw, prev = forge(entry("evil"), seq, Stamp().of(clock.now), prev)
        forged.append(raw)
    path.write_bytes(b"".join(forged))
    report = verify(folder)
    assert isinstance(report["first_bad"], dict)
    assert report["first_bad"]["reason"] == "it is not the line that was signed"
    with pytest.raises(Unavailable):
        make()


def test_a_head_with_a_wrong_signature_stops_the_log(make, folder: Path) -> None:
    written(make, folder)
    heads = folder / "heads.jsonl"
    head = json.loads(heads.read_text())
    heads.write_bytes(canonical_json({**head, "signature": "0" * 64}) + b"\n")
    assert verify(folder)["ok"], "without the key only the chain can be checked"
    assert verify(folder, sign=sign)["ok"] is False
    with pytest.raises(Unavailable, match="wrong signature"):
        make()


@pytest.mark.parametrize("tail_bytes", [b'{"seq":7,"ts"', b"\0" * 300, b'{"action":"x"}'])
def test_a_torn_last_line_is_put_aside_and_said(make, folder: Path, tail_bytes: bytes) -> None:
    path = written(make, folder)
    with path.open("ab") as file:
        file.write(tail_bytes)
    log = make()
    log.close()
    last = lines_of(folder)[-1]
    assert last["action"] == "audit.torn_line"
    assert last["details"] == {"file": path.name, "bytes": len(tail_bytes)}
    assert (folder / f"{path.stem}.torn-1").read_bytes() == tail_bytes
    assert verify(folder, sign=sign)["ok"]


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: [*lines[:-1], lines[-1].replace(b'"a5"', b'"aX"')],
        lambda lines: [*lines[:-1], b"nonsense"],
        lambda lines: [*lines[:3], lines[3].replace(b'"a3"', b'"aX"'), *lines[4:]],
        lambda lines: [b"nonsense"],
        lambda lines: [],
    ],
)
def test_a_log_whose_end_does_not_check_is_not_continued(make, folder: Path, edit) -> None:
    path = written(make, folder)
    change(path, edit)
    before = path.read_bytes()
    with pytest.raises(Unavailable) as caught:
        make()
    assert caught.value.details == {"reason": "AUDIT_BROKEN"}
    assert path.read_bytes() == before, "evidence is not touched"


def test_a_log_that_was_moved_away_whole_is_begun_anew_only_with_its_heads_gone(make, folder: Path) -> None:
    written(make, folder).unlink()
    with pytest.raises(Unavailable):
        make()
    (folder / "heads.jsonl").unlink()
    assert make().append(entry()) == 1


def test_a_linked_folder_or_file_is_refused(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "audit").symlink_to(tmp_path / "real")
    with pytest.raises(Unavailable):
        AuditLog(tmp_path / "audit", clock, sign)
    (tmp_path / "real" / "2026-01-02.jsonl").symlink_to("/etc/passwd")
    with pytest.raises(Unavailable):
        AuditLog(tmp_path / "real", clock, sign)


def test_pruned_files_verify_behind_a_signed_head(make, folder: Path, clock: Clock) -> None:
    log = make()
    log.append(entry())
    clock.now += 86_400
    log.append(entry())
    log.close()
    (folder / "2026-01-02.jsonl").unlink()
    assert verify(folder, sign=sign) == {"ok": True, "files": 1, "lines": 1, "first_bad": None}
    (folder / "heads.jsonl").write_text("")
    assert verify(folder)["ok"] is False


def test_an_empty_folder_verifies_and_a_missing_one_too(folder: Path) -> None:
    assert verify(folder) == {"ok": True, "files": 0, "lines": 0, "first_bad": None}


def test_queries_and_tail_find_the_newest_first(make, folder: Path, clock: Clock) -> None:
    log = make()
    for number in range(300):
        log.append(entry(f"a{number}", request_id=f"req_{number}", details={"pad": "x" * 400}))
    clock.now += 86_400
    log.append(entry("b", outcome=Outcome.DENY, category=AuditCategory.SECURITY, principal="mail"))
    assert [line["action"] for line in log.tail(2)] == ["a299", "b"]
    assert [line["seq"] for line in log.query(Filter(request_id="req_7"))] == [8]
    assert [line["action"] for line in query(folder, Filter(category="security"))] == ["b"]
    assert [line["action"] for line in query(folder, Filter(since="2026-01-03"))] == ["b"]
    assert len(query(folder, Filter(until="2026-01-03"), limit=5000)) == 300
    assert [line["action"] for line in query(folder, Filter(principal="notes"), limit=2)] == ["a299", "a298"]
    assert len(tail(folder, 5000)) == 301


def test_unreadable_lines_do_not_stop_a_query(make, folder: Path) -> None:
    path = written(make, folder)
    change(path, lambda lines: [*lines[:2], b"x" * 200_000, b"[]", *lines[2:]])
    assert len(query(folder, Filter())) == 6


# A full disk, from the side of the system: a limit on the size of files gives EFBIG, so a small script runs apart.

FULL_DISK = """
import os, sys, pathlib
from core_runtime.adapters.audit_log import AuditLog, verify
from core_runtime.audit import AuditCategory, AuditEntry, Outcome
from core_runtime.clock import SystemClock
from core_runtime.errors import RumiError
folder = pathlib.Path(sys.argv[1])
log = AuditLog(folder, SystemClock(), lambda data: "s")
entry = AuditEntry(AuditCategory.CAPABILITY, "x", Outcome.ALLOW, "p", details={"pad": "y" * 300})
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
count = refused = 0
for _ in range(50):
    try:
        log.append(entry); count += 1
    except RumiError as error:
        refused += 1
        code = error.code.value
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append(entry)
log.close()
report = verify(folder)
print(count, refused, code, report["ok"], report["lines"])
"""


def test_ft_04_a_line_that_does_not_fit_is_taken_back_and_the_log_goes_on_with_space(folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder)], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    count, refused, code, ok, lines = ran.stdout.split()
    assert int(count) > 0
    assert int(refused) > 0
    assert int(count) + int(refused) == 50
    assert code in {"STORAGE_FULL", "UNAVAILABLE"}
    assert (ok, int(lines)) == ("True", int(count) + 1)


class FullDisk(AuditLog):
    """A log whose disk is full until the reserve is given back."""

    full = False

    def _write_all(self, line: bytes) -> None:
        if self.full and (self._folder / ".reserve").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super()._write_all(line)


def test_stopping_and_revoking_leave_their_line_on_a_full_disk(folder: Path, clock: Clock) -> None:
    log = FullDisk(folder, clock, sign)
    log.full = True
    with pytest.raises(StorageFull):
        log.append(entry())
    assert log.append(entry("grant.take", urgent=True)) == 1
    log.close()
    assert [line["action"] for line in lines_of(folder)] == ["grant.take"]


WRITER = """
import pathlib, sys
from core_runtime.adapters.audit_log import AuditLog
from core_runtime.audit import AuditCategory, AuditEntry, Outcome
from core_runtime.clock import SystemClock
log = AuditLog(pathlib.Path(sys.argv[1]), SystemClock(), lambda data: "s")
while True:
    print(log.append(AuditEntry(AuditCategory.CAPABILITY, "x", Outcome.ALLOW, "p")), flush=True)
"""


def test_a_killed_kernel_loses_no_line_it_told_of(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(200)]
        child.send_signal(signal.SIGKILL)
        told += [int(line) for line in child.stdout.read().splitlines() if line.endswith(tuple("0123456789"))]
    report = verify(folder)
    assert report["ok"]
    assert int(str(report["lines"])) >= max(told[:-1])


async def test_rotation_closes_the_files_of_days_gone_by(make, clock: Clock) -> None:
    log = make()
    await log.durable(log.append(entry()))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        clock.now += 86_400
        await log.durable(log.append(entry()))
    assert len(os.listdir("/proc/self/fd")) == before
