"""The bodies and queries of the admin API: every field named, unknown ones refused, sizes bounded.

Nothing here decides what is allowed; it only makes sure that a view sees values of the declared form.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core_runtime.authority import Scope
from core_runtime.interfaces.ports import BatchItem, GrantItem, JsonObject

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$", max_length=128)]
Principal = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
PlainName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
Note = Annotated[str, StringConstraints(max_length=500)]
UnixTime = Annotated[float, Field(gt=0, le=253402300799, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Cursor = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_=.-]{1,512}$")]


class Body(BaseModel):
    """A JSON body: strict types, no unknown field."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Query(BaseModel):
    """A query string: text is converted, no unknown field, no field twice."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Body):
    """No body, or `{}`."""


class GrantBody(Body):
    """One grant; see `GrantItem`."""

    permission: Name
    config: JsonObject | None = None
    mode: Literal["always", "ask", "never"] | None = None
    expires_at: UnixTime | None = None
    max_count: int | None = Field(None, ge=1, le=1_000_000_000)
    note: Note = ""

    def item(self) -> GrantItem:
        """As the ports take it."""
        return GrantItem(self.permission, self.config, self.mode, self.expires_at, self.max_count, self.note)


class GiveBody(GrantBody):
    """One grant and whom it is for."""

    principal: Principal


class BatchEntry(GiveBody):
    """One item of a batch; with `take` only the permission counts."""

    take: bool = False

    def batch_item(self) -> BatchItem:
        """As the port takes it."""
        return BatchItem(self.principal, self.item(), self.take)


class BatchBody(Body):
    """At most 50 items, each answered for itself."""

    items: list[BatchEntry] = Field(min_length=1, max_length=50)


class ApproveBody(Body):
    """`grants` left out: every required permission as declared. `version` names one older than was approved before."""

    plan_hash: Digest | None = None
    grants: list[GrantBody] | None = Field(None, max_length=200)
    version: str | None = Field(None, max_length=64)


class RejectBody(Body):
    """Why, for the record."""

    reason: Note = ""


class RunBody(Body):
    """Inputs of a flow; `timeout` in seconds."""

    inputs: JsonObject = Field(default_factory=dict)
    detach: bool = False
    timeout: Seconds | None = None


class CallBody(Body):
    """Arguments of an interface; `timeout` in seconds."""

    args: JsonObject = Field(default_factory=dict)
    timeout: Seconds | None = None


class FlowFileBody(Body):
    """A file below the profile's `flows/`, and optionally the SHA-256 that it has to have."""

    file: PlainName
    digest: Digest | None = None


class TokenBody(Body):
    """A token to make."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    scopes: list[Literal["read", "operate", "approve"]] = Field(min_length=1, max_length=3)
    expires_at: UnixTime | None = None

    def scope_set(self) -> frozenset[Scope]:
        """The scopes as values."""
        return frozenset(Scope(scope) for scope in self.scopes)


class NoQuery(Query):
    """No query string."""


class PageQuery(Query):
    """One page of a list."""

    limit: int = Field(100, ge=1, le=1000)
    cursor: Cursor | None = None


class LogQuery(Query):
    """The newest lines, or those after a `seq`."""

    limit: int = Field(200, ge=1, le=1000)
    after: int | None = Field(None, ge=0, le=2**62)


class GrantQuery(PageQuery):
    """Grants of all, or of one principal."""

    principal: Principal | None = None


class KeyQuery(PageQuery):
    """Keys of a store."""

    prefix: Annotated[str, StringConstraints(max_length=512)] = ""


class AuditParams(PageQuery):
    """Which lines; see `AuditQuery`."""

    category: Name | None = None
    principal: Principal | None = None
    action: Annotated[str, StringConstraints(max_length=128)] | None = None
    outcome: Literal["allow", "deny", "ok", "error"] | None = None
    request_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    since: UnixTime | None = None
    until: UnixTime | None = None
    after: int | None = Field(None, ge=0, le=2**62)
