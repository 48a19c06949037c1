"""The JSON Schemas for editors, beside the reader that decides: never stricter than it, and awake to common mistakes."""

import copy
import json
from functools import cache
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from backend_core.ecosystem.models import EcosystemModel, ManifestModel, PermissionsModel
from core_runtime.flows.loading.document import load_flow
from core_runtime.flows.problems import Findings
from core_runtime.flows.source import read_yaml

ROOT = Path(__file__).resolve().parents[3]
SCHEMAS = ROOT / "docker" / "core" / "schema"
MODELS = {"ecosystem": EcosystemModel, "permissions": PermissionsModel, "manifest": ManifestModel}
PACKS = [*(ROOT / "ecosystem" / "packs").iterdir(), *(ROOT / "tests" / "packs").iterdir()]


@cache
def validator(kind: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{kind}.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def reader_takes(kind: str, value: object) -> bool:
    if kind == "flow":
        return load_flow(json.dumps(value).encode(), file="x.flow.yaml", owner="host").flow is not None
    try:
        MODELS[kind].model_validate(value)
    except ValidationError:
        return False
    return True


def files(pattern: str) -> list[Path]:
    return sorted(path for pack in PACKS for path in (pack / "backend").glob(pattern))


@pytest.mark.parametrize("kind", ["ecosystem", "flow", "manifest", "permissions"])
def test_a_schema_is_a_schema(kind):
    assert validator(kind).schema["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [("ecosystem", "ecosystem.json"), ("permissions", "permissions.json"), ("manifest", "components/*/manifest.json")],
)
def test_every_pack_of_this_repository_passes_where_the_reader_takes_it(kind, pattern):
    taken = 0
    for path in files(pattern):
        try:
            value = json.loads(path.read_text("utf-8"))
        except ValueError:
            continue  # one of the packs that are broken on purpose
        if reader_takes(kind, value):
            assert [error.message for error in validator(kind).iter_errors(value)] == [], path
            taken += 1
    assert taken >= 4


def test_every_flow_of_this_repository_passes_where_the_loader_takes_it():
    taken = 0
    for path in [*files("flows/*.flow.yaml"), *(ROOT / "flow" / "core").glob("*.flow.yaml")]:
        owner = "core" if path.parent.name == "core" else path.parts[-4]
        if load_flow(path.read_bytes(), file=path.name, owner=owner).flow is not None:
            value = read_yaml(path.read_bytes(), Findings(path.name)).plain()
            assert [error.message for error in validator("flow").iter_errors(value)] == [], path
            taken += 1
    assert taken >= 3


ECOSYSTEM = {
    "pack_id": "my_pack",
    "pack_identity": "github:author/my_pack",
    "version": "1.0.0",
    "x_mine": [1],
    "description": {"en": "My first pack", "ja": "..."},
    "requires": {"kernel": ">=1.0", "packs": {"ledger": ">=1.2,<2"}, "interfaces": ["service.clock"]},
    "sandbox": {"memory": "256m", "cpus": 0.5, "pids": 64, "concurrency": 8, "max_streams": 256, "shm": False, "start": "lazy"},
    "settings": [{"key": "max_pending", "type": "integer", "default": 64, "minimum": 1, "description": "how many"}],
    "stores": [{"store_id": "notes", "max_value_bytes": 1048576, "quota_bytes": 104857600, "search": ["title"], "shared": False}],
    "children": {"my_pack__extra": {"identity": "github:a/extra", "permissions": [{"type": "store.get", "stores": ["my_pack/notes"]}]}},
    "ingress": [
        {"path": "/hello", "methods": ["GET"], "interface": "http.hello", "auth": "actor", "max_body_bytes": 1048576},
        {"path": "/feed", "kind": "websocket", "interface": "ws.feed", "auth": "actor"},
        {"path": "/", "kind": "static", "root": "web", "auth": "public"},
    ],
}  # fmt: skip
PERMISSIONS = {
    "pack_id": "my_pack",
    "permissions": [
        {
            "type": "store.get",
            "stores": ["notes"],
            "reason": "reads",
            "optional": True,
            "background": True,
            "x_note": 1,
        },
        {"type": "http.request", "domains": ["api.example.com"], "reason": {"en": "asks"}},
    ],
}
MANIFEST = {
    "type": "service",
    "id": "hello",
    "version": "1.0.0",
    "connectivity": {
        "provides": [
            "service.hello",
            {"name": "notes.delete", "risk": "high", "tags": ["x"], "risk_rules": [{"when": "${true}", "risk": "critical"}]},
        ],
        "requires": ["a.b"],
        "subscribes": [{"topic": "clock/tick", "interface": "hello.on_tick"}],
    },
}  # fmt: skip
FLOW = {
    "flow_id": "greet",
    "inputs": {"type": "object", "properties": {"names": {"type": "array"}}},
    "defaults": {"timeout": 60, "on_error": "stop", "retry": {"max_attempts": 2}},
    "phases": ["prepare", "main"],
    "concurrency": {"limit": 4, "when_full": "queue"},
    "memory": True,
    "steps": [
        {"id": "each", "foreach": "${inputs.names}", "as": "n", "concurrency": 8, "output": "greetings",
         "steps": [{"id": "hello", "call": "service.hello", "input": {"name": "${n}"}, "idempotency_key": "${n}"}]},
        {"id": "check", "if": "${size(greetings) > 10}", "then": [{"id": "a", "set": {"b": 1}}], "else": []},
        {"id": "loop", "while": "${false}", "max_iterations": 3, "steps": [{"id": "w", "wait": 1}]},
        {"id": "both", "parallel": {"a": [{"id": "x", "flow": "other"}], "b": [{"id": "y", "wait": {"seconds": 1.5}}]}},
        {"id": "tell", "emit": {"topic": "done", "payload": 1}, "phase": "main", "priority": 5, "depends_on": "each",
         "when": "${true}", "timeout": 1, "on_error": {"steps": [{"id": "z", "stop": "why"}]},
         "retry": {"max_attempts": 3, "backoff": "fixed", "interval": 0.2, "max_interval": 5, "on": ["TIMEOUT"]}},
        {"id": "end", "stop": {"reason": "done", "outputs": {"a": 1}}},
    ],
    "errors": [],
    "finally": [],
    "outputs": {"count": "${size(greetings)}"},
}  # fmt: skip
WHOLE = {"ecosystem": ECOSYSTEM, "permissions": PERMISSIONS, "manifest": MANIFEST, "flow": FLOW}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_with_everything_in_it_passes_both(kind):
    assert [error.message for error in validator(kind).iter_errors(WHOLE[kind])] == []
    assert reader_takes(kind, WHOLE[kind])


def at(value: object, path: str) -> tuple[object, str | int]:
    """The container of the last part of a path such as `stores/0/store_id`, and that part."""
    *parts, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for part in parts:
        value = value[part]
    return value, last


MISTAKES = [
    ("ecosystem", "pack_id", "has space"), ("ecosystem", "pack_id", "kernel"), ("ecosystem", "pack_id", None),
    ("ecosystem", "pack_identity", "no colon"), ("ecosystem", "verson", "1"), ("ecosystem", "description", {"english": "x"}),
    ("ecosystem", "sandbox/memory", "lots"), ("ecosystem", "sandbox/pids", 7), ("ecosystem", "sandbox/start", "later"),
    ("ecosystem", "sandbox/concurrency", True), ("ecosystem", "settings/0/type", "text"), ("ecosystem", "stores/0/store_id", "Notes"),
    ("ecosystem", "stores/0/shared", "no"), ("ecosystem", "children/my_pack__extra/identity", ""), ("ecosystem", "ingress/0/auth", "none"),
    ("permissions", "permissions/0/reason", 3), ("permissions", "permissions/0/type", "Store.Get"), ("permissions", "pack", "x"),
    ("manifest", "connectivity/provides/0", "Service Hello"), ("manifest", "connectivity/provides/1/risk", "huge"),
    ("manifest", "connectivity/subscribes/0/topic", "tick"), ("manifest", "conectivity", {}), ("manifest", "id", "a b"),
    ("flow", "flow_id", "Greet Me"), ("flow", "stesp", []), ("flow", "phases", ["A"]), ("flow", "concurrency/when_full", "wait"),
    ("flow", "schedule", {"cron": "* * * * *"}), ("flow", "steps/0/foreach_", 1), ("flow", "steps/0/concurrency", 0),
    ("flow", "steps/0/steps/0/call", 5), ("flow", "steps/1/if", "always"), ("flow", "steps/3/parallel", {}),
    ("flow", "steps/4/retry/backoff", "slow"), ("flow", "steps/4/retry/on", ["NOPE"]), ("flow", "steps/4/timeout", -1),
    ("flow", "steps/4/on_error", "ignore"), ("flow", "steps/5/set", {"a": 1}), ("flow", "steps/5/id", "1st"), ("flow", "steps/5/approve", {}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "path", "value"), MISTAKES, ids=lambda part: str(part)[:30])
def test_a_common_mistake_is_seen_by_both(kind, path, value):
    broken = copy.deepcopy(WHOLE[kind])
    container, key = at(broken, path)
    container[key] = value
    assert not validator(kind).is_valid(broken)
    assert not reader_takes(kind, broken)


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind in WHOLE for key in validator(kind).schema["required"]])
def test_what_is_required_is_required_by_both(kind, key):
    broken = {name: value for name, value in WHOLE[kind].items() if name != key}
    assert not validator(kind).is_valid(broken)
    assert not reader_takes(kind, broken)


@pytest.mark.parametrize("pack_id", ["a", "A-b_c", "parent__child", "_x", "a_", "a__b__c__d", "x" * 64, "kernels"])
def test_no_valid_pack_id_is_marked_as_wrong(pack_id):
    value = {**ECOSYSTEM, "pack_id": pack_id}
    assert reader_takes("ecosystem", value)
    assert validator("ecosystem").is_valid(value)
