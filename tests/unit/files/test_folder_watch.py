"""Changes of pack folders are noticed, by events and without them, in time and in a bounded number of calls."""

from __future__ import annotations

import asyncio
import os
import shutil
import time

import pytest

from core_runtime.adapters.watch import FolderWatch, signature_of


class Seen:
    def __init__(self) -> None:
        self.calls: list[frozenset[str]] = []
        self.new = asyncio.Event()

    async def __call__(self, names: frozenset[str]) -> None:
        self.calls.append(names)
        self.new.set()

    async def wait_for(self, name: str, seconds: float = 2.0) -> None:
        async with asyncio.timeout(seconds):
            while not any(name in names for names in self.calls):
                self.new.clear()
                await self.new.wait()


@pytest.fixture
def ecosystem(tmp_path):
    root = tmp_path / "ecosystem"
    (root / "packs/notes/backend").mkdir(parents=True)
    (root / "packs/notes/backend/a.py").write_text("1")
    return root


def candidates(root):
    return lambda: (
        [(p.name, p) for p in sorted((root / "packs").iterdir()) if p.is_dir()] if (root / "packs").is_dir() else []
    )


async def started(root, seen, **options) -> FolderWatch:
    watch = FolderWatch(root, candidates(root), seen, **options)
    await watch.start()
    await seen.wait_for("notes")  # the first sweep finds everything new
    await asyncio.sleep(0.05)
    seen.calls.clear()
    return watch


@pytest.mark.parametrize("change", ["write", "add", "remove", "rename", "mode", "new-pack", "gone-pack"])
async def test_every_kind_of_change_is_noticed_within_two_seconds(ecosystem, change):
    seen = Seen()
    watch = await started(ecosystem, seen, sweep_seconds=0.4)
    target, name = ecosystem / "packs/notes/backend/a.py", "notes"
    try:
        if change == "write":
            target.write_text("2")
        elif change == "add":
            (target.parent / "b.py").write_text("")
        elif change == "remove":
            target.unlink()
        elif change == "rename":
            target.rename(target.parent / "c.py")
        elif change == "mode":
            target.chmod(0o755)
        elif change == "new-pack":
            (ecosystem / "packs/fresh").mkdir()
            name = "fresh"
        else:
            shutil.rmtree(ecosystem / "packs/notes")
        await seen.wait_for(name)
    finally:
        await watch.stop()


async def test_an_event_is_told_long_before_the_next_sweep(ecosystem):
    seen = Seen()
    watch = await started(ecosystem, seen, sweep_seconds=60)
    try:
        begun = time.monotonic()
        (ecosystem / "packs/notes/backend/a.py").write_text("2")
        await seen.wait_for("notes")
        assert time.monotonic() - begun < 1
    finally:
        await watch.stop()


async def test_lost_events_are_made_up_for_by_the_sweep(ecosystem):
    seen = Seen()
    watch = FolderWatch(ecosystem / "nowhere", candidates(ecosystem), seen, sweep_seconds=0.1)
    await watch.start()
    try:
        assert watch.degraded
        await seen.wait_for("notes")
        seen.calls.clear()
        (ecosystem / "packs/notes/backend/a.py").write_text("3")
        await seen.wait_for("notes")
    finally:
        await watch.stop()


async def test_a_storm_of_events_becomes_a_few_calls(ecosystem):
    seen = Seen()
    watch = await started(ecosystem, seen, sweep_seconds=60)
    try:
        for number in range(800):
            path = ecosystem / f"packs/notes/backend/{number % 50}.tmp"
            path.write_text("x")
            path.unlink()
        (ecosystem / "packs/notes/backend/last.py").write_text("x")
        await seen.wait_for("notes")
        await asyncio.sleep(0.5)
        assert 1 <= len(seen.calls) <= 6
    finally:
        await watch.stop()


async def test_reading_a_folder_does_not_wake_the_watch(ecosystem):
    seen = Seen()
    watch = await started(ecosystem, seen, sweep_seconds=60)
    try:
        for _ in range(5):
            (ecosystem / "packs/notes/backend/a.py").read_bytes()
            os.listdir(ecosystem / "packs/notes")
        await asyncio.sleep(0.35)
        assert seen.calls == []
    finally:
        await watch.stop()


async def test_an_error_of_the_listener_does_not_end_the_watch(ecosystem):
    calls = []

    async def listener(names):
        calls.append(names)
        raise OSError("disk")

    watch = FolderWatch(ecosystem, candidates(ecosystem), listener, sweep_seconds=0.05)
    await watch.start()
    try:
        for number in range(2):
            count = len(calls)
            (ecosystem / "packs/notes/backend/a.py").write_text(str(number))
            async with asyncio.timeout(2):
                while len(calls) == count:
                    await asyncio.sleep(0.02)
    finally:
        await watch.stop()


def test_the_signature_follows_ordinary_changes_and_ignores_excluded_names(ecosystem):
    root = ecosystem / "packs/notes"
    before = signature_of(root)
    (root / "__pycache__").mkdir()
    (root / "__pycache__/x.pyc").write_text("")
    assert signature_of(root) == before
    (root / "backend/a.py").write_text("2")
    assert signature_of(root) != before
    assert signature_of(root / "missing") != before
