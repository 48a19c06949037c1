"""API tokens: only a hash is kept, nobody makes a wider one than his own, and ending one holds at once."""

import asyncio
import hashlib
import json
from dataclasses import dataclass, field

import pytest

from core_runtime.adapters.token_store import MAX_TOKENS, TokenStore
from core_runtime.authority import Scope
from core_runtime.errors import Conflict, NotFound, PolicyDenied, StorageFull, Unavailable, ValidationFailed

READ = frozenset({Scope.READ})
ALL = frozenset(Scope)


@dataclass
class HandClock:
    now: float = 1_800_000_000.0

    def wall(self):
        return self.now

    def monotonic(self):
        return self.now


@dataclass
class Document:
    value: dict = field(default_factory=dict)
    broken: Exception | None = None
    saves: int = 0

    def load(self):
        if self.broken:
            raise self.broken
        return self.value

    def save(self, value):
        if self.broken:
            raise self.broken
        self.saves += 1
        self.value = json.loads(json.dumps(value))


@dataclass
class Trail:
    entries: list = field(default_factory=list)
    durable_to: int = 0
    full: bool = False

    def append(self, entry):
        if self.full:
            raise StorageFull("full")
        self.entries.append(entry)
        return len(self.entries)

    async def durable(self, seq):
        self.durable_to = seq


@dataclass(frozen=True)
class Owner:
    by: str = "owner"
    scopes: frozenset = ALL
    request_id: str = "req_1"


@dataclass
class World:
    document: Document = field(default_factory=Document)
    clock: HandClock = field(default_factory=HandClock)
    trail: Trail = field(default_factory=Trail)

    def store(self):
        made = TokenStore(self.document, clock=self.clock, audit=self.trail)
        made.load()
        return made


@pytest.fixture
def world():
    return World()


async def test_ad_10_a_token_has_256_bits_and_only_its_hash_is_kept(world):
    store = world.store()
    made = await store.add("ci", READ, None, Owner())
    token = made["token"]
    assert token.startswith("rumi_")
    assert len(token) == 48
    kept = json.dumps(world.document.value)
    assert token not in kept
    assert hashlib.sha256(token.encode()).hexdigest() in kept
    assert token not in json.dumps(await store.list_tokens())
    assert "sha256" not in json.dumps(await store.list_tokens())
    assert token not in repr(world.trail.entries)
    found = store.verify(token.encode())
    assert (found.name, found.scopes) == ("ci", READ)


async def test_a_token_survives_a_restart_and_its_end_does_too(world):
    token = (await world.store().add("ci", READ, None, Owner()))["token"].encode()
    second = world.store()
    assert second.verify(token).name == "ci"
    await second.revoke("ci", Owner())
    assert second.verify(token) is None
    assert world.store().verify(token) is None


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + b" ", lambda t: t.upper(), lambda t: b"", lambda t: t[:-1] + b"\xff"]
)
async def test_ad_01_only_the_very_token_is_known(world, change):
    store = world.store()
    token = (await store.add("ci", READ, None, Owner()))["token"].encode()
    assert store.verify(change(token)) is None


async def test_it_ends_in_the_second_that_was_said(world):
    store = world.store()
    token = (await store.add("ci", READ, world.clock.now + 60, Owner()))["token"].encode()
    world.clock.now += 59.9
    assert store.verify(token)
    world.clock.now += 0.1
    assert store.verify(token) is None
    assert (await store.list_tokens())[0]["expired"] is True


async def test_nobody_makes_a_wider_one_than_his_own(world):
    narrow = Owner("token:x", frozenset({Scope.APPROVE}))
    with pytest.raises(PolicyDenied):
        await world.store().add("wide", frozenset({Scope.APPROVE, Scope.READ}), None, narrow)
    assert world.document.saves == 0


@pytest.mark.parametrize(
    ("name", "scopes", "expires"),
    [
        ("", READ, None),
        ("a\nb", READ, None),
        ("x" * 65, READ, None),
        (" x", READ, None),
        ("x", frozenset(), None),
        ("x", READ, 1.0),
    ],
)
async def test_orders_that_make_no_sense_are_refused(world, name, scopes, expires):
    with pytest.raises(ValidationFailed):
        await world.store().add(name, scopes, expires, Owner())


async def test_names_are_taken_once_and_there_is_an_upper_limit(world):
    store = world.store()
    for count in range(MAX_TOKENS):
        await store.add(f"t{count}", READ, None, Owner())
    with pytest.raises(Conflict, match="tokens already"):
        await store.add("one more", READ, None, Owner())
    with pytest.raises(Conflict, match="this name"):
        await store.add("t1", READ, None, Owner())


async def test_making_one_is_durable_in_the_trail_before_it_exists_and_impossible_without_it(world):
    store = world.store()
    await store.add("ci", READ, None, Owner())
    assert (world.trail.entries[0].action, world.trail.durable_to) == ("token.add", 1)
    world.trail.full = True
    with pytest.raises(StorageFull):
        await store.add("more", READ, None, Owner())
    assert len(await store.list_tokens()) == 1


async def test_ending_one_works_without_the_trail_and_by_id_or_name(world):
    store = world.store()
    first = await store.add("a", READ, None, Owner())
    await store.add("b", READ, None, Owner())
    world.trail.full = True
    assert (await store.revoke(first["id"], Owner()))["name"] == "a"
    assert (await store.revoke("b", Owner()))["name"] == "b"
    with pytest.raises(NotFound):
        await store.revoke("b", Owner())


async def test_it_has_ended_in_memory_even_where_the_disk_refuses(world):
    store = world.store()
    token = (await store.add("a", READ, None, Owner()))["token"].encode()
    world.document.broken = StorageFull("full")
    with pytest.raises(StorageFull):
        await store.revoke("a", Owner())
    assert store.verify(token) is None


@pytest.mark.parametrize(
    "value",
    [{"version": 2, "tokens": []}, {"tokens": []}, {"version": 1}, {"version": 1, "tokens": [{}]}, {"version": 1, "tokens": [1]},
     {"version": 1, "tokens": [{"id": "a", "name": "a", "sha256": "00", "scopes": ["read"], "created_at": 1, "created_by": "x", "expires_at": None, "last_used_at": None}]},
     {"version": 1, "tokens": [{"id": "a", "name": "a", "sha256": "00" * 32, "scopes": ["root"], "created_at": 1, "created_by": "x", "expires_at": None, "last_used_at": None}]}],
    ids=range(7),
)  # fmt: skip
async def test_a_document_of_another_form_means_no_token_and_is_left_as_it_is(world, value):
    world.document.value = value
    store = TokenStore(world.document, clock=world.clock, audit=world.trail)
    with pytest.raises(Unavailable):
        store.load()
    assert store.verify(b"x") is None
    with pytest.raises(Unavailable):
        await store.add("new", READ, None, Owner())
    await store.flush()
    assert world.document.value == value


async def test_before_it_is_loaded_no_token_is_valid_and_none_can_be_made(world):
    store = TokenStore(world.document, clock=world.clock, audit=world.trail)
    assert store.verify(b"x") is None
    with pytest.raises(Unavailable):
        await store.add("new", READ, None, Owner())


async def test_last_use_is_known_at_once_and_written_when_told(world):
    store = world.store()
    token = (await store.add("a", READ, None, Owner()))["token"].encode()
    assert (await store.list_tokens())[0]["last_used_at"] is None
    store.verify(token)
    assert (await store.list_tokens())[0]["last_used_at"] is not None
    assert world.document.saves == 1
    await store.flush()
    assert world.store().verify(token)
    assert world.document.value["tokens"][0]["last_used_at"] == world.clock.now


async def test_a_caller_who_goes_away_leaves_no_half_done_change(world):
    store = world.store()
    waiting = asyncio.ensure_future(store.add("a", READ, None, Owner()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await store.flush()
    assert [token["name"] for token in await store.list_tokens()] == [
        row["name"] for row in world.document.value["tokens"]
    ]


def test_se_14_secrets_are_compared_in_constant_time_only():
    import ast
    import inspect

    from core_runtime.adapters import token_store
    from core_runtime.interfaces.admin import auth

    assert "hmac.compare_digest(token.digest, digest)" in inspect.getsource(token_store)
    for module in (token_store, auth):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.In) for op in node.ops):
                names = {getattr(part, "attr", getattr(part, "id", "")) for part in ast.walk(node)}
                assert not names & {"digest", "secret", "presented"}, ast.unparse(node)
