"""S1: unapproved or changed bytes never run. A thousand mutations, a thousand starts under a swap race, real limits."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from backend_core.ecosystem.discovery import EcosystemCatalog
from core_runtime.adapters.files import StateFiles, SystemOperations
from core_runtime.adapters.sealed_tree import FolderReader, SealedStore, digest_of
from core_runtime.approval.approving import Order
from core_runtime.approval.model import PackState
from core_runtime.approval.parts import ApprovalParts
from core_runtime.approval.plan import PlanEnvironment
from core_runtime.approval.service import ApprovalService
from core_runtime.audit import AuditEntry
from core_runtime.authority import Risk
from core_runtime.clock import SystemClock
from core_runtime.errors import ApprovalDenied, ValidationFailed
from core_runtime.signing import open_key_ring

SEEDS = 1_000
STARTS = 1_000
MANIFEST = '{"pack_id": "notes", "pack_identity": "github:ada/notes", "version": "1.0.0"}'
COMPONENT = '{"type": "service", "id": "main", "version": "1.0.0", "connectivity": {"provides": ["service.notes"]}}'
FLOW = "flow_id: greet\nsteps: []\n"


class NoPermissions:
    def known(self, permission):
        return False

    def risk(self, permission):
        return Risk.CRITICAL

    def normalise(self, permission, config):
        return config

    def within(self, permission, wanted, ceiling, *, principal=""):
        return False

    def sentence(self, permission, config, language):
        return permission


class Lines:
    def __init__(self):
        self.entries: list[AuditEntry] = []

    def append(self, entry):
        self.entries.append(entry)
        return len(self.entries)

    async def durable(self, seq):
        return None


@pytest.fixture
def pack(tmp_path) -> Path:
    backend = tmp_path / "ecosystem/packs/notes/backend"
    (backend / "components/main").mkdir(parents=True)
    (backend / "web").mkdir()
    (backend / "ecosystem.json").write_text(MANIFEST)
    (backend / "components/main/manifest.json").write_text(COMPONENT)
    (backend / "components/main/setup.py").write_text("def run(context):\n    pass\n")
    (backend / "web/logo.png").write_bytes(bytes(range(256)) * 8)
    (backend / "vocab.txt").write_text("content = text = body\n")
    (backend / "README").write_text("いろは\n")
    return backend.parent


@pytest.fixture
def service(tmp_path, pack):
    files = StateFiles(tmp_path / "profile")
    parts = ApprovalParts(
        catalog=EcosystemCatalog(tmp_path / "ecosystem"),
        reader=FolderReader(),
        sealed=SealedStore(files.make_folder("sealed"), SystemOperations()),
        files=files,
        keys=open_key_ring(files),
        audit=Lines(),
        clock=SystemClock(),
        book=NoPermissions(),
        environment=lambda: PlanEnvironment("1.0.0", "1", "image"),
    )
    yield ApprovalService(parts)
    files.close()


async def test_ap_01_one_flipped_bit_in_any_file_of_an_approved_pack_is_always_modified(service, pack):
    await service.start()
    await service.approve(Order("notes"))
    approved = service.state("notes").approved_digest
    stops: list[str] = []
    service.on_change(lambda change: stops.append(change.pack_id) if change.stopped else None)
    files = sorted(path for path in pack.rglob("*") if path.is_file())
    kinds = set()
    for seed in range(SEEDS):
        dice = random.Random(seed)
        target = dice.choice(files)
        original = target.read_bytes()
        bit = dice.randrange(len(original) * 8)
        changed = bytearray(original)
        changed[bit // 8] ^= 1 << (bit % 8)
        target.write_bytes(changed)
        if seed % 20:
            status_digest = digest_of(pack).digest
            assert status_digest != approved, (seed, target)
        else:
            await service.scan({"notes"})
            assert service.state("notes").state is PackState.MODIFIED, (seed, target)
            with pytest.raises(ApprovalDenied):
                service.sealed("notes")
        target.write_bytes(original)
        if not seed % 20:
            await service.scan({"notes"})
            assert service.state("notes").runnable
        kinds.add(target.suffix)
    assert len(stops) == SEEDS // 20
    assert kinds == {".json", ".py", ".png", ".txt", ""}


async def test_s1_a_swap_race_of_a_thousand_starts_runs_no_bad_bytes(service, pack):
    await service.start()
    await service.approve(Order("notes"))
    target = pack / "backend/components/main/setup.py"
    good, evil = target.read_bytes(), b"raise SystemExit('evil')\n"
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            target.write_bytes(evil)
            target.write_bytes(good)
            time.sleep(0.003)

    thread = threading.Thread(target=swap)
    thread.start()
    started = 0
    try:
        for number in range(STARTS):
            if number % 2 == 0:
                await service.scan({"notes"})
            try:
                sealed = await service.sealed_for_start("notes")
            except ApprovalDenied:
                continue
            started += 1
            assert (sealed.root / "backend/components/main/setup.py").read_bytes() == good
    finally:
        stop.set()
        thread.join()
    await service.scan()
    assert service.state("notes").runnable
    assert started > 0


async def test_ap_22_what_a_manifest_says_is_never_run_by_looking_at_it(service, pack, tmp_path):
    witness = tmp_path / "witness"
    (pack / "backend/components/main/setup.py").write_text(f"open({str(witness)!r}, 'w')\n")
    (pack / "backend/components/main/__init__.py").write_text(f"open({str(witness)!r}, 'w')\n")
    (pack / "backend/conftest.py").write_text(f"open({str(witness)!r}, 'w')\n")
    (pack / "backend/ecosystem.json").write_text(
        MANIFEST[:-1] + f', "hook": "!!python/object/apply:os.system [touch {witness}]"}}'
    )
    await service.start()
    assert service.state("notes").state is PackState.INVALID
    (pack / "backend/ecosystem.json").write_text(MANIFEST)
    await service.scan()
    await service.plan("notes")
    await service.approve(Order("notes"))
    assert not witness.exists()


async def test_ap_20_mid_copy_folders_settle(service, pack, tmp_path):
    await service.start()
    late = tmp_path / "ecosystem/packs/late"
    (late / "backend").mkdir(parents=True)
    await service.scan()
    assert service.state("late").state is PackState.INVALID
    (late / "backend/ecosystem.json").write_text(MANIFEST.replace('"notes"', '"late"'))
    await service.scan({"late"})
    assert service.state("late").state is PackState.PENDING
    shutil.rmtree(late)
    await service.scan({"late"})
    assert "late" not in [view.pack_id for view in service.list()]
    assert service.state("notes").state is PackState.PENDING


def test_ap_19_twenty_thousand_files_are_refused_fast(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    for number in range(20_000):
        os.close(os.open(str(number), os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    started = time.monotonic()
    tracemalloc.start()
    assert _reason(tmp_path) == "file_count"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.monotonic() - started < 2
    assert peak < 100 * 1024 * 1024


def _reason(root: Path) -> object:
    with pytest.raises(ValidationFailed) as caught:
        digest_of(root)
    return caught.value.details["reason"]
