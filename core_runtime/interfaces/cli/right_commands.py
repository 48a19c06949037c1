"""`rumi grant`, `rumi permission` and `rumi token`: who may do what."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from core_runtime.errors import ValidationFailed
from core_runtime.interfaces.cli.command import CommandGroup, Invocation
from core_runtime.interfaces.cli.values import parse_duration, parse_object, segment
from core_runtime.interfaces.ports import JsonObject

Principal = Annotated[str, typer.Argument(metavar="PACK", help="Whose grant it is.")]
Permission = Annotated[str, typer.Argument(metavar="PERMISSION", help="Such as store.get.")]
Expires = Annotated[str | None, typer.Option(metavar="DURATION", help="End after 30s, 15m, 12h, 7d or 2w.")]

_MODES = ("always", "ask", "never")
_SCOPES = ("read", "operate", "approve")


def add_right_commands(grant: CommandGroup, permission: CommandGroup, token: CommandGroup) -> None:
    """Register all of them."""
    grant.add("list", grant_list)
    grant.add("give", grant_give)
    grant.add("take", grant_take)
    permission.add("list", permission_list)
    permission.add("show", permission_show)
    token.add("add", token_add)
    token.add("list", token_list)
    token.add("revoke", token_revoke)


def grant_list(
    run: Invocation,
    principal: Annotated[str | None, typer.Argument(metavar="[PACK]", help="Only those of this pack.")] = None,
) -> None:
    """List grants."""
    rows = run.client.items("/api/grants", principal=principal)
    columns = ("principal", "permission", "mode", "expires_at", "config")
    run.screen.result(rows, lambda: run.screen.table(rows, columns))


def grant_give(
    run: Invocation,
    principal: Principal,
    permission: Permission,
    *,
    config: Annotated[
        list[str] | None,
        typer.Option(metavar="JSON", help="Narrow it: a JSON object, k:=JSON or @FILE; else as declared."),
    ] = None,
    mode: Annotated[str | None, typer.Option(metavar="always|ask|never", help="Else by the permission's risk.")] = None,
    expires: Expires = None,
    max_count: Annotated[int | None, typer.Option(min=1, help="End after so many uses.")] = None,
) -> None:
    """Give a pack a permission that it declares."""
    body: JsonObject = {"principal": principal, "permission": permission}
    if mode is not None:
        body["mode"] = _one_of(mode, _MODES, "--mode")
    if config:
        body["config"] = parse_object(config, "--config")
    if expires is not None:
        body["expires_at"] = time.time() + parse_duration(expires)
    if max_count is not None:
        body["max_count"] = max_count
    done = run.client.post("/api/grants", body)
    words = run.screen.words("{pack} may now use {permission}.", pack=principal, permission=permission)
    run.screen.result(done, lambda: run.screen.line(words))


def grant_take(run: Invocation, principal: Principal, permission: Permission) -> None:
    """Take a permission away; it holds at once."""
    done = run.client.delete(f"/api/grants/{segment(principal)}/{segment(permission)}")
    words = run.screen.words("{pack} may no longer use {permission}.", pack=principal, permission=permission)
    run.screen.result(done, lambda: run.screen.line(words))


def permission_list(run: Invocation) -> None:
    """List the permissions that there are."""
    rows = run.client.items("/api/permissions")
    told = [{**row, "sentence": _in_language(row.get("sentence"), run.screen.language)} for row in rows]
    run.screen.result(rows, lambda: run.screen.table(told, ("permission", "risk", "sentence")))


def permission_show(run: Invocation, permission: Permission) -> None:
    """Show one permission with its configuration and arguments."""
    shown = run.client.record(f"/api/permissions/{segment(permission)}")
    run.screen.result(shown, lambda: run.screen.fields(shown))


def token_add(
    run: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name for it.")],
    *,
    scope: Annotated[list[str], typer.Option(metavar="read|operate|approve", help="What it may do; repeatable.")],
    expires: Expires = None,
) -> None:
    """Make an API token; it is shown this once."""
    body: JsonObject = {"name": name, "scopes": sorted({_one_of(item, _SCOPES, "--scope") for item in scope})}
    if expires is not None:
        body["expires_at"] = time.time() + parse_duration(expires)
    made = run.client.post("/api/tokens", body)
    token = made.get("token") if isinstance(made, dict) else None
    run.screen.result(made, lambda: run.screen.line(str(token)))
    if not run.screen.as_json:
        run.screen.note(run.screen.words("Keep it now: it is not shown again."), "warn")


def token_list(run: Invocation) -> None:
    """List API tokens; never a token itself."""
    rows = run.client.items("/api/tokens")
    columns = ("name", "scopes", "created_at", "last_used_at", "expires_at", "id")
    run.screen.result(rows, lambda: run.screen.table(rows, columns))


def token_revoke(
    run: Invocation, token: Annotated[str, typer.Argument(metavar="NAME|ID", help="Its name or id.")]
) -> None:
    """End an API token; it holds at once."""
    done = run.client.delete(f"/api/tokens/{segment(token)}")
    run.screen.result(done, lambda: run.screen.line(run.screen.words("{token} has ended.", token=token)))


def _one_of(value: str, allowed: tuple[str, ...], option: str) -> str:
    if value not in allowed:
        raise ValidationFailed(f"{option} {value!r} is none of {', '.join(allowed)}.")
    return value


def _in_language(value: object, language: str) -> object:
    return (value.get(language) or value.get("en") or "") if isinstance(value, dict) else value
