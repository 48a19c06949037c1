"""Loads the pack's components: fail-soft, each for itself, and held to what its manifest says.

Runs once, on the main thread, before `hello`. A component that cannot be loaded, or that registers something else than
it declared, is left out with an error for the diagnostics; the others go on.
"""

from __future__ import annotations

import os

from rumi_agent.codec import BadValue, MalformedStream, decode_json
from rumi_agent.errors import describe
from rumi_agent.handlers import Handler, code_of
from rumi_agent.importer import run_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rumi_agent.agent import Agent


class ComponentError(Exception):
    """What is wrong with one component, as a sentence for its author."""


class Component:
    """What one setup.py has registered; becomes real only when all of it is right."""

    def __init__(self, component_id: str, folder: str) -> None:
        self.id = component_id
        self.folder = folder
        self.handlers: dict[str, Handler] = {}
        self.background: list[tuple[str, object]] = []

    def register(self, name: str, fn: Callable[..., object]) -> Callable[..., object]:
        """Provide the interface `name` by `fn`, a function of any kind of `(args, ctx)`, `(args)` or nothing."""
        if not isinstance(name, str):
            raise ComponentError(f"the name of an interface is a text, not a {type(name).__name__}")
        if not callable(fn):
            raise ComponentError(f"{name} is registered with a {type(fn).__name__}, which cannot be called")
        if name in self.handlers:
            raise ComponentError(f"{name} is registered twice")
        self.handlers[name] = Handler(name, fn)
        return fn

    def run_in_background(self, name: str, fn: object) -> None:
        """Keep `fn()` or `fn(ctx)`, a coroutine function, running beside the calls."""
        code = code_of(fn)
        if code is None or not code.co_flags & 0x80:
            raise ComponentError(
                f"background {name!s} needs a coroutine function (async def), not its result or a plain one"
            )
        self.background.append((str(name), fn))


class _Registry:
    """`context["interface_registry"]`."""

    __slots__ = ("register",)

    def __init__(self, component: Component) -> None:
        self.register = component.register


def load_all(agent: Agent, backend: str) -> list[dict[str, object]]:
    """Load every component, and answer what `hello` says of them."""
    root = backend + "/components"
    ingress = _ingress(agent, backend)
    reports: list[dict[str, object]] = []
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    except OSError:
        names = []
    for name in names:
        component = Component(name, f"{root}/{name}")
        try:
            _load(agent, component, ingress)
        except ComponentError as error:
            reports.append({"id": name, "provides": [], "error": str(error)[:2000]})
            agent.log("error", f"component {name} is disabled: {error}", component=name)
        except BaseException as error:
            reports.append({"id": name, "provides": [], "error": describe(error)})
            agent.log_exception(f"component {name} is disabled: its setup.py failed", error, None)
        else:
            reports.append({"id": name, "provides": sorted(component.handlers)})
    return reports


def _load(agent: Agent, component: Component, ingress: frozenset[str]) -> None:
    manifest = _read_object(component.folder + "/manifest.json")
    declared = declared_names(manifest)
    module_name = "rumi_component_" + component.id
    module = run_file(module_name, component.folder + "/setup.py", component.folder)
    run = getattr(module, "run", None) or getattr(module, "setup", None)
    if not callable(run):
        raise ComponentError("setup.py has neither run(context) nor setup(context)")
    run(_setup_context(agent, component))
    registered = set(component.handlers)
    if not declared <= registered or not registered <= declared | ingress:
        raise ComponentError(
            f"setup.py registered {sorted(registered)}, "
            f"but manifest.json (provides and subscribes) names {sorted(declared)}"
        )
    taken = registered & set(agent.incoming.handlers)
    if taken:
        raise ComponentError(f"another component of this pack has registered {sorted(taken)} already")
    agent.incoming.handlers.update(component.handlers)
    agent.background.extend(component.background)
    if component.background or any(handler.kind >= 2 for handler in component.handlers.values()):
        agent.loop()


def _setup_context(agent: Agent, component: Component) -> dict[str, Any]:
    def log(level: str, text: object, **fields: object) -> None:
        agent.log(level, text, **{"component": component.id, **fields})

    return {
        "interface_registry": _Registry(component),
        "background": component.run_in_background,
        "settings": agent.settings,
        "pack_id": agent.pack_id,
        "component_id": component.id,
        "log": log,
    }


def declared_names(manifest: dict[str, Any]) -> set[str]:
    """What the manifest provides, and the interfaces that its subscriptions name. Raises `ComponentError`."""
    connectivity = manifest.get("connectivity", {})
    try:
        provided = {each if isinstance(each, str) else each["name"] for each in connectivity.get("provides", [])}
        return provided | {each["interface"] for each in connectivity.get("subscribes", [])}
    except (AttributeError, KeyError, TypeError) as error:
        raise ComponentError(f"manifest.json: connectivity cannot be understood ({describe(error)})") from error


def _read_object(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            found = decode_json(file.read())
    except FileNotFoundError:
        raise ComponentError(f"{path.rpartition('/')[2]} is missing") from None
    except (MalformedStream, BadValue) as error:
        raise ComponentError(f"{path.rpartition('/')[2]}: {error}") from error
    if not isinstance(found, dict):
        raise ComponentError(f"{path.rpartition('/')[2]} is not a JSON object")
    return found


def _ingress(agent: Agent, backend: str) -> frozenset[str]:
    try:
        routes = _read_object(backend + "/ecosystem.json").get("ingress", [])
        return frozenset(route["interface"] for route in routes if "interface" in route)
    except (ComponentError, OSError, TypeError) as error:
        agent.log("warning", f"ecosystem.json: the routes cannot be read ({describe(error)})")
        return frozenset()
