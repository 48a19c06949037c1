"""The packs of this repository are what `bundled.json` says, and nothing special."""

import json
from pathlib import Path

from backend_core.ecosystem.discovery import EcosystemCatalog
from core_runtime.adapters.sealed_tree import digest_of
from core_runtime.flows.loading.document import load_flow
from core_runtime.handlers.listing import builtin_catalogue
from core_runtime.schemas import compile_schema

ROOT = Path(__file__).resolve().parents[3]
PACKS = ROOT / "ecosystem" / "packs"


def test_the_bundled_list_names_every_pack_with_its_digest():
    listed = json.loads((ROOT / "ecosystem" / "bundled.json").read_text("utf-8"))
    found = [{"pack_id": path.name, "digest": digest_of(path).digest} for path in sorted(PACKS.iterdir())]
    assert listed == {"packs": found}, "write the digests anew: rumi pack digest ecosystem/packs/ID"


def test_every_bundled_pack_reads_without_a_problem():
    for scanned in EcosystemCatalog(ROOT / "ecosystem").scan():
        assert scanned.problems == ()
        assert scanned.descriptor.description.values.keys() == {"en", "ja"}


def test_bundled_permissions_exist_and_say_why():
    catalogue = builtin_catalogue()
    for scanned in EcosystemCatalog(ROOT / "ecosystem").scan():
        for item in scanned.descriptor.permissions:
            assert catalogue.known(item.permission)
            catalogue.normalise(item.permission, item.config)
            assert item.reason.best("ja") != item.reason.best("en") != ""


def test_bundled_flows_and_schemas_load():
    for scanned in EcosystemCatalog(ROOT / "ecosystem").scan():
        descriptor = scanned.descriptor
        for name in descriptor.flow_files:
            data = (descriptor.root / "backend" / "flows" / name).read_bytes()
            assert load_flow(data, file=name, owner=descriptor.pack_id).problems == ()
        for decl in descriptor.interfaces():
            if decl.input_schema is not None:
                compile_schema(decl.input_schema)
