"""What the doors need of the kernel: small ports, answers that are JSON as they stand, failures that are `RumiError`.

The admin API and, through it, the command line know the kernel by these Protocols alone; the composition root puts the
real services behind them, the tests put fakes. A door never decides: every method that changes something is handed the
`Caller` that the channel established, and the service behind the port judges, audits and acts. An answer must hold no
secret, no host path and nothing that is not JSON. A method may be cancelled at any await (the client went away, or the
door's deadline passed) and has to leave its state whole when that happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from core_runtime.authority import OWNER, Actor, Scope
from core_runtime.ids import HOST_PRINCIPAL

JsonObject = dict[str, object]
JsonList = list[JsonObject]


class Channel(StrEnum):
    """The way somebody came in: the owner's socket, or a token over TCP."""

    SOCKET = "socket"
    TCP = "tcp"


class Health(StrEnum):
    """All that `/health` ever says."""

    UP = "UP"
    DEGRADED = "DEGRADED"
    DOWN = "DOWN"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who stands at the door, as the channel established it; no header or body field ever shapes it.

    `by` goes into records and the audit trail: `owner` over admin.sock, `token:<name>` with a token.
    """

    by: str
    scopes: frozenset[Scope]
    channel: Channel
    request_id: str
    principal: str = HOST_PRINCIPAL
    actor: Actor = OWNER


@dataclass(frozen=True, slots=True)
class GrantItem:
    """One grant to give. `config` None: as declared in the ceiling; `mode` None: the default of its risk.

    `expires_at` is Unix time in seconds.
    """

    permission: str
    config: JsonObject | None = None
    mode: str | None = None
    expires_at: float | None = None
    max_count: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One of at most 50 items: give `grant` to `principal`, or with `take` take its permission away."""

    principal: str
    grant: GrantItem
    take: bool = False


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which lines. All given fields have to match; `since` and `until` are Unix time, `after` is a `seq`.

    `cursor` is the one that the last page gave: it goes on with older lines. With `after`, lines come oldest first.
    """

    category: str | None = None
    principal: str | None = None
    action: str | None = None
    outcome: str | None = None
    request_id: str | None = None
    since: float | None = None
    until: float | None = None
    after: int | None = None
    limit: int = 100
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class RunFlow:
    """One order to run a flow. `timeout` in seconds, None for the flow's own; `detach` answers once it is accepted."""

    flow_id: str
    inputs: JsonObject = field(default_factory=dict)
    detach: bool = False
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """One sample for Prometheus; `kind` is counter or gauge, names and labels are `[a-z0-9_]`."""

    name: str
    value: float
    kind: str = "gauge"
    help: str = ""
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ApproveWish:
    """What is approved: `plan_hash` pins a plan that was seen, `grants` None means every required one as declared.

    `version` names a version that is older than one approved before: nothing else lets it follow (AP-16).
    """

    plan_hash: str | None = None
    grants: Sequence[GrantItem] | None = None
    version: str | None = None


class PacksPort(Protocol):
    """Reading about packs. Unknown ids raise `NotFound`."""

    async def list_packs(self) -> JsonList:
        """Each `{pack_id, state, digest, version, rating, ...}`, sorted by id; digest and version may be null."""

    async def show(self, pack_id: str) -> JsonObject:
        """As in the list, and `{identity, origin, description, problems, components, grants, container, ...}`."""

    async def plan(self, pack_id: str) -> JsonObject:
        """What approving would mean: `{pack_id, digest, plan_hash, files, permissions, rating, ...}`.

        `files`: `[{path, change: added|changed|removed, size?, diff?}]` (unchanged ones left out). `permissions`:
        `[{permission, risk, sentence: {en, ja}, reason: {en, ja} or text, optional, background,
        change: new|wider|narrower|same|gone, config}]`. `rating`: 1 (worst) to 8, with `rating_reasons`:
        `[{en, ja} or text]`, one for each point lost. What else is there (`interfaces`, `routes`, `flows`, `modifiers`,
        `components`, `calls`, `hosts`, `secrets`, `dependencies`, `artifacts`, `warnings`) is shown below, as lists.
        """

    async def logs(self, pack_id: str, limit: int, after: int | None) -> JsonList:
        """The newest lines, oldest first: `[{seq, ts, level, text, fields, run_id}]`; `after` gives only later ones."""


class ApprovalPort(Protocol):
    """Whether these bytes may run."""

    async def approve(self, pack_id: str, wish: ApproveWish, by: Caller) -> JsonObject:
        """All or nothing. Raises `Conflict` for a plan that changed, or a version older than one approved before."""

    async def reject(self, pack_id: str, reason: str, by: Caller) -> JsonObject:
        """Say no to these bytes; the third time blocks the identity."""

    async def unblock(self, pack_id: str, by: Caller) -> JsonObject:
        """Let a blocked identity ask again."""

    async def scan(self, by: Caller) -> JsonObject:
        """Look at the ecosystem folder now: `{found, pending, ...}`."""


class PackStatePort(Protocol):
    """The owner's own switch. Both answer as `PacksPort.show`."""

    async def enable(self, pack_id: str, by: Caller) -> JsonObject:
        """Undo `disable`; approval and grants are as they were."""

    async def disable(self, pack_id: str, by: Caller) -> JsonObject:
        """Stop it and keep it stopped; works also when the audit trail cannot be written."""


class ContainersPort(Protocol):
    """The engine and what runs on it."""

    async def engine_status(self) -> JsonObject:
        """`{available, version, runtime, security_mode, ...}`."""

    async def list_containers(self) -> JsonList:
        """Each `{pack_id, container, state, started_at, ...}` of this kernel's own, and no others."""

    async def control(self, pack_id: str, action: str, by: Caller) -> JsonObject:
        """`start`, `stop` or `restart` the container of an approved pack."""


class GrantsPort(Protocol):
    """Who may do what."""

    async def list_grants(self, principal: str | None) -> JsonList:
        """Each `{principal, permission, config, mode, expires_at, max_count, granted_by, granted_at, note}`."""

    async def give(self, principal: str, grant: GrantItem, by: Caller) -> JsonObject:
        """Give or replace one. Wider than the ceiling raises `PolicyDenied`."""

    async def take(self, principal: str, permission: str, by: Caller) -> JsonObject:
        """Take it away: no call that starts after this returned succeeds. None there raises `NotFound`."""

    async def batch(self, items: Sequence[BatchItem], by: Caller) -> JsonList:
        """Each item answered for itself, in order: `{ok: true, ...}` or `{ok: false, error}`."""


class PermissionsPort(Protocol):
    """The catalogue."""

    async def list_permissions(self) -> JsonList:
        """Each `{permission, risk, sentence: {en, ja}, ...}`."""

    async def show_permission(self, permission: str) -> JsonObject:
        """One entry, with `config_schema` and `args_schema`."""


class FlowsPort(Protocol):
    """Flows of packs, of the owner and of the core."""

    async def list_flows(self) -> JsonList:
        """Each `{flow_id, owner, state, digest, description, ...}`; `owner` is a pack id, `host` or `kernel`."""

    async def show_flow(self, flow_id: str) -> JsonObject:
        """`{flow_id, owner, state, digest, description, inputs, outputs, steps: [{id, kind, author, phase, ...}]}`."""

    async def run(self, order: RunFlow, by: Caller) -> JsonObject:
        """`{run_id, state, outputs}`. A failed run raises its error; cancelling the await cancels a run in front."""

    async def approve_file(self, file: str, digest: str | None, by: Caller) -> JsonObject:
        """Approve `file` (a plain name) below the profile's `flows/`; with `digest` only if it has that SHA-256."""


class CallsPort(Protocol):
    """Interfaces."""

    async def list_interfaces(self) -> JsonList:
        """Each `{name, provider, risk, summary, ...}`."""

    async def call(self, name: str, args: JsonObject, timeout: float | None, by: Caller) -> object:  # noqa: ASYNC109
        """Call it as the owner and answer the value that it returned. A stream is gathered, within 4 MiB."""


class StoresPort(Protocol):
    """The packs' stores, for their owner. Unknown packs, stores and keys raise `NotFound`."""

    async def list_stores(self) -> JsonList:
        """Each `{pack_id, store, keys, bytes, quota_bytes}`."""

    async def list_keys(self, pack_id: str, store: str, prefix: str, page: tuple[int, str | None]) -> JsonObject:
        """`{items: [{key, version}], cursor}` for `page` = (limit, cursor)."""

    async def get(self, pack_id: str, store: str, key: str) -> JsonObject:
        """`{key, value, version}`."""


class AuditPort(Protocol):
    """The trail, for reading."""

    async def query(self, query: AuditQuery) -> JsonObject:
        """`{items: [...lines, oldest first], cursor}`: the newest `limit` lines that match; `cursor` for older ones."""

    async def verify(self) -> JsonObject:
        """`{ok, files, lines, first_bad}`; `first_bad` is null or `{file, line, reason}`."""


class StatusPort(Protocol):
    """How the kernel is."""

    async def status(self) -> JsonObject:
        """`{version, profile, security_mode, started_at, packs, diagnostics: [...], ...}`."""

    async def settings(self) -> JsonList:
        """Each `{name, variable, value, source, description}`; secrets are no settings."""

    async def diagnostics(self) -> JsonList:
        """Each `{severity: ok|info|warning|problem, code, subject, message, hint}`."""


class HealthPort(Protocol):
    """For probes; both must answer at once, from what is known."""

    async def health(self) -> Health:
        """UP, DEGRADED or DOWN."""

    async def metrics(self) -> Sequence[Metric]:
        """The samples of `/metrics`."""


class TokensPort(Protocol):
    """API tokens (`adapters.token_store.TokenStore` stands behind it)."""

    async def list_tokens(self) -> JsonList:
        """Each `{id, name, scopes, created_at, last_used_at, expires_at, expired}`; never a token or its hash."""

    async def add(self, name: str, scopes: frozenset[Scope], expires_at: float | None, by: Caller) -> JsonObject:
        """As in the list, and `token`: shown this once. Scopes that the caller lacks raise `PolicyDenied`."""

    async def revoke(self, token: str, by: Caller) -> JsonObject:
        """End the token of this id or name; no request that starts afterwards is let in by it."""


@dataclass(frozen=True, slots=True)
class KernelDoors:
    """Every port that the doors know, put together once by the composition root."""

    packs: PacksPort
    approval: ApprovalPort
    pack_state: PackStatePort
    containers: ContainersPort
    grants: GrantsPort
    permissions: PermissionsPort
    flows: FlowsPort
    calls: CallsPort
    stores: StoresPort
    audit: AuditPort
    status: StatusPort
    health: HealthPort
    tokens: TokensPort
