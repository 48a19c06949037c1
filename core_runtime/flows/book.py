"""All flows by id: who owns each, which bytes it came from, and whether it may run.

A file becomes a definition once for its content; loading the same bytes again is a look-up. A flow id has one owner:
the second claimant is disabled, with a diagnostic that names both. Nothing takes an id over by itself when its owner
goes away, or a pack could lie in wait for the id of another. Every change is made aside and put in place at once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from core_runtime.canonical import sha256_hex
from core_runtime.errors import ApprovalDenied, NotFound, Unavailable
from core_runtime.flows.core_digests import CORE_DIGESTS
from core_runtime.flows.explain import ExplainedFlow, explain_flow
from core_runtime.flows.loading.document import LoadedFlow, environment_warnings, load_flow
from core_runtime.flows.model import CORE_OWNER, HOST_OWNER, Flow
from core_runtime.flows.problems import FlowProblem
from core_runtime.suggest import did_you_mean

CACHED_DEFINITIONS = 512
Files = Sequence[tuple[str, bytes]]
Names = Callable[[], Collection[str]]


class FlowState(StrEnum):
    """Whether a flow may run: `pending` waits for the owner's approval, `disabled` says why in its diagnostic."""

    ACTIVE = "active"
    PENDING = "pending"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class FlowEntry:
    """One flow file. `flow_id` is None if the file could not even say it."""

    flow_id: str | None
    owner: str
    file: str
    digest: str
    state: FlowState
    flow: Flow | None = None
    diagnostic: str = ""
    problems: tuple[FlowProblem, ...] = ()

    def to_json(self) -> dict[str, object]:
        """For lists."""
        return {
            "flow_id": self.flow_id,
            "owner": self.owner,
            "file": self.file,
            "digest": self.digest,
            "state": self.state.value,
            "diagnostic": self.diagnostic,
            "description": self.flow.description if self.flow else "",
            "problems": [problem.to_json() for problem in self.problems],
        }


class FlowBook:
    """The flows of one kernel. `known_interfaces` says what approved packs provide now, for warnings only."""

    def __init__(self, *, known_interfaces: Names | None = None) -> None:
        self._known_interfaces = known_interfaces
        self._pins: dict[str, str] = {}
        self._entries: tuple[FlowEntry, ...] = ()
        self._by_id: dict[str, FlowEntry] = {}
        self._cache: OrderedDict[tuple[str, str, str], LoadedFlow] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def pins(self) -> Mapping[str, str]:
        """Flow id -> the pack that holds it, up or not."""
        return MappingProxyType(self._pins)

    def recall(self, pins: Mapping[str, str]) -> None:
        """Pins of an earlier life of the kernel; they hold until their pack lets go of them."""
        self._pins = {**pins, **self._pins}

    def release(self, pack_id: str) -> None:
        """Free the ids of a pack that the owner let go. Who was refused before gets them when it registers again."""
        self._pins = {flow_id: holder for flow_id, holder in self._pins.items() if holder != pack_id}

    def warm(self, owner: str, files: Files) -> None:
        """Load definitions ahead of `register_*`; may be called in a thread, so that large files hold nobody up."""
        for file, data in files:
            self._load(owner, file, data)

    def register_core(self, file: str, data: bytes) -> FlowEntry:
        """A flow of the kernel itself. Raises `ApprovalDenied` unless its digest is the pinned one."""
        if CORE_DIGESTS.get(file) != sha256_hex(data):
            raise ApprovalDenied(
                f"The kernel's own flow {file!r} is not the one that belongs to this version.",
                hint="Restore flow/core/ from the release; core flows cannot be changed.",
            )
        return self._register(CORE_OWNER, [(file, data)], {file})[0]

    def register_owner(self, file: str, data: bytes, *, approved: bool) -> FlowEntry:
        """A flow of the owner, in place of an earlier version of that file; pending until its digest is approved."""
        return self._register(HOST_OWNER, [(file, data)], {file}, approved=approved)[0]

    def unregister_owner(self, file: str) -> None:
        """The owner's file is gone."""
        self._place([entry for entry in self._entries if (entry.owner, entry.file) != (HOST_OWNER, file)])

    def register_pack(self, pack_id: str, files: Files) -> tuple[FlowProblem, ...]:
        """All flows of an approved pack, in place of what it had; every problem and diagnostic is returned."""
        entries = self._register(pack_id, files, None)
        self.release(pack_id)
        self._pins.update({entry.flow_id: pack_id for entry in entries if entry.flow_id and _holds(entry)})
        found = [problem for entry in entries for problem in entry.problems]
        claims = [
            FlowProblem(entry.file, 1, 1, entry.diagnostic) for entry in entries if entry.flow and entry.diagnostic
        ]
        return (*found, *claims)

    def unregister_pack(self, pack_id: str) -> None:
        """The pack stops, is rejected or was changed."""
        self._place([entry for entry in self._entries if entry.owner != pack_id])

    def active(self, flow_id: str) -> Flow:
        """The flow that may run under this id. Raises `NotFound`, `ApprovalDenied`, `Unavailable`."""
        entry = self._by_id.get(flow_id)
        if entry is not None and entry.state is FlowState.ACTIVE and entry.flow is not None:
            return entry.flow
        entry = entry or next((item for item in self._entries if item.flow_id == flow_id), None)
        if entry is None:
            known = sorted(self._by_id)
            raise NotFound(f"There is no flow {flow_id[:128]!r}.{did_you_mean(flow_id, known)}", hint="rumi flow list")
        if entry.state is FlowState.PENDING:
            raise ApprovalDenied(
                f"The flow {flow_id!r} is not approved.",
                hint=f"rumi flow approve {entry.file}",
                details={"digest": entry.digest},
            )
        raise Unavailable(
            f"The flow {flow_id!r} is disabled: {entry.diagnostic}", hint=f"rumi flow validate {entry.file}"
        )

    def entries(self) -> tuple[FlowEntry, ...]:
        """Every file, with what nothing provides now as warnings; by id, then file."""
        noted = [replace(entry, problems=(*entry.problems, *self.warnings(entry))) for entry in self._entries]
        return tuple(sorted(noted, key=lambda entry: (entry.flow_id or "", entry.owner, entry.file)))

    def entry(self, flow_id: str) -> FlowEntry | None:
        """The file that holds the id, or one that claims it."""
        return self._by_id.get(flow_id) or next((item for item in self._entries if item.flow_id == flow_id), None)

    def explain(self, flow_id: str) -> ExplainedFlow:
        """The composed flow, whatever its state. Raises `NotFound`, `Unavailable` if its file does not load."""
        entry = self.entry(flow_id)
        if entry is None or entry.flow is None:
            return explain_flow(self.active(flow_id))
        return explain_flow(entry.flow)

    def warnings(self, entry: FlowEntry) -> tuple[FlowProblem, ...]:
        """Interfaces and flows that the flow names and nothing provides at this moment."""
        if entry.flow is None:
            return ()
        interfaces = self._known_interfaces() if self._known_interfaces is not None else None
        return environment_warnings(entry.flow, interfaces=interfaces, flows=self._by_id)

    def _load(self, owner: str, file: str, data: bytes) -> LoadedFlow:
        key = (owner, file, sha256_hex(data))
        with self._lock:
            loaded = self._cache.get(key)
            if loaded is not None:
                self._cache.move_to_end(key)
                return loaded
        loaded = load_flow(data, file=file, owner=owner)
        with self._lock:
            self._cache[key] = loaded
            while len(self._cache) > CACHED_DEFINITIONS:
                self._cache.popitem(last=False)
        return loaded

    def _register(
        self, owner: str, files: Files, replaced: Collection[str] | None, *, approved: bool = True
    ) -> list[FlowEntry]:
        """Load and put in place of the owner's `replaced` files (None: of all that it has)."""
        kept = [
            entry
            for entry in self._entries
            if entry.owner != owner or (replaced is not None and entry.file not in replaced)
        ]
        claimed = {entry.flow_id: entry for entry in kept if entry.state is not FlowState.DISABLED}
        added: list[FlowEntry] = []
        for file, data in sorted(files):
            entry = self._claim(self._entry(owner, file, data, approved=approved), claimed)
            added.append(entry)
        self._place([*kept, *added])
        return added

    def _entry(self, owner: str, file: str, data: bytes, *, approved: bool) -> FlowEntry:
        loaded = self._load(owner, file, data)
        if loaded.flow is None:
            errors = [problem for problem in loaded.problems if problem.severity == "error"]
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            diagnostic = f"{errors[0].text()}{more}" if errors else "The file has no flow."
            return FlowEntry(
                loaded.flow_id, owner, file, loaded.digest, FlowState.DISABLED, None, diagnostic, loaded.problems
            )
        state = FlowState.ACTIVE if approved else FlowState.PENDING
        return FlowEntry(loaded.flow.flow_id, owner, file, loaded.digest, state, loaded.flow, "", loaded.problems)

    def _claim(self, entry: FlowEntry, claimed: dict[str | None, FlowEntry]) -> FlowEntry:
        if entry.state is FlowState.DISABLED:
            return entry
        holder = self._pins.get(entry.flow_id or "", entry.owner)
        first = claimed.get(entry.flow_id)
        if first is None and holder == entry.owner:
            claimed[entry.flow_id] = entry
            return entry
        whose = _said(first) if first else f"the pack {holder!r}"
        diagnostic = f"The flow id {entry.flow_id!r} belongs to {whose} already; that of {_said(entry)} is disabled."
        return replace(entry, state=FlowState.DISABLED, diagnostic=diagnostic)

    def _place(self, entries: list[FlowEntry]) -> None:
        by_id = {entry.flow_id: entry for entry in entries if entry.flow_id and entry.state is not FlowState.DISABLED}
        self._entries, self._by_id = tuple(entries), by_id


def _holds(entry: FlowEntry) -> bool:
    return entry.state is not FlowState.DISABLED


def _said(entry: FlowEntry) -> str:
    owner = {CORE_OWNER: "the kernel", HOST_OWNER: "the owner"}.get(entry.owner, f"the pack {entry.owner!r}")
    return f"{owner} ({entry.file})"
