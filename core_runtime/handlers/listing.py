"""Every built-in permission, listed by hand: what is not in here does not exist."""

from __future__ import annotations

from collections.abc import Mapping

from core_runtime.capability.catalogue import Catalogue, PermissionSpec
from core_runtime.capability.ports import Handler
from core_runtime.handlers import (
    event_publish,
    event_subscribe,
    flow_run,
    interface_call,
    interface_list,
    store_delete,
    store_get,
    store_list,
    store_set,
)
from core_runtime.handlers.ports import HandlerPorts

SPECS: tuple[PermissionSpec, ...] = (
    store_get.SPEC,
    store_list.SPEC,
    store_set.SPEC,
    store_delete.SPEC,
    interface_call.SPEC,
    interface_list.SPEC,
    flow_run.SPEC,
    event_publish.SPEC,
    event_subscribe.SPEC,
)


def builtin_catalogue() -> Catalogue:
    """The catalogue of this version."""
    return Catalogue(SPECS)


def builtin_handlers(ports: HandlerPorts) -> Mapping[str, Handler]:
    """A handler for each permission of the catalogue."""
    return {
        store_get.SPEC.id: store_get.make(ports.stores),
        store_list.SPEC.id: store_list.make(ports.stores),
        store_set.SPEC.id: store_set.make(ports.stores),
        store_delete.SPEC.id: store_delete.make(ports.stores),
        interface_call.SPEC.id: interface_call.make(ports.interfaces),
        interface_list.SPEC.id: interface_list.make(ports.interfaces),
        flow_run.SPEC.id: flow_run.make(ports.flows),
        event_publish.SPEC.id: event_publish.make(ports.events),
        event_subscribe.SPEC.id: event_subscribe.make(ports.events),
    }
