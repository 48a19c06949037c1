"""The composition root: the one place that knows every concrete class, and the entry point of `rumi`.

`open_profile` opens what a profile keeps on disk, `Assembly` puts a kernel together over it, `running` gives it a
lifetime. Nothing in here decides anything; what is made first is closed last.
"""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import hmac
import os
import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend_core.ecosystem.discovery import EcosystemCatalog
from core_runtime.adapters.audit_log import AuditFiles, AuditLog
from core_runtime.adapters.docker_engine import DockerEngine
from core_runtime.adapters.files import StateFiles, SystemOperations
from core_runtime.adapters.flow_files import FolderFlowFiles
from core_runtime.adapters.owner_settings import ProfileSettings
from core_runtime.adapters.profile_lock import ProfileLock
from core_runtime.adapters.sandbox_image import sandbox_image
from core_runtime.adapters.sealed_tree import FolderReader, SealedStore, flush_all_of
from core_runtime.adapters.sqlite_store import SqliteStores, SqliteUses
from core_runtime.adapters.subprocess_engine import SubprocessEngine
from core_runtime.adapters.uid_range import DurableFile, register_path, reserve_range, uid_map
from core_runtime.adapters.unix_sockets import UnixListeners
from core_runtime.approval.parts import ApprovalParts
from core_runtime.approval.plan import PlanEnvironment
from core_runtime.approval.records import SignedDocument, SignedStore
from core_runtime.approval.service import ApprovalService
from core_runtime.capability.broker import Broker
from core_runtime.capability.policy import ActorPolicy, Preset
from core_runtime.capability.ports import BrokerPorts
from core_runtime.clock import Clock, SystemClock
from core_runtime.diagnostics.engine import engine_checks
from core_runtime.errors import Conflict, RumiError
from core_runtime.flows.book import FlowBook
from core_runtime.flows.engine import EngineLimits, EngineParts, FlowEngine
from core_runtime.handlers.listing import builtin_catalogue, builtin_handlers
from core_runtime.handlers.ports import HandlerPorts
from core_runtime.interfaces.admin.bridge import Bridge
from core_runtime.interfaces.cli import application
from core_runtime.interfaces.launch.commands import run_command
from core_runtime.interfaces.launch.hooks import command_hooks
from core_runtime.interfaces.launch.serving import Root, Serving
from core_runtime.interfaces.ports import KernelDoors
from core_runtime.kernel import Kernel, KernelParts
from core_runtime.kernel.boot import BootOptions, BootParts, BootSequence
from core_runtime.kernel.copies import ApprovedCopies
from core_runtime.kernel.diagnostics import Diagnostic, DiagnosticsBook, Severity
from core_runtime.kernel.events import KernelEvents
from core_runtime.kernel.facts import ApprovalFacts
from core_runtime.kernel.flow_runner import KernelFlowRunner
from core_runtime.kernel.gate import BrokerGate
from core_runtime.kernel.lifecycle import LifecycleParts, PackLifecycle
from core_runtime.kernel.owner_flows import OwnerFlows
from core_runtime.kernel.risk_rules import RiskRules
from core_runtime.kernel.router import NamedTargets, Router
from core_runtime.kernel.runner import LateRunner
from core_runtime.kernel.world import KernelWorld
from core_runtime.packs import KERNEL_VERSION
from core_runtime.registry.interfaces import InterfaceRegistry
from core_runtime.sandbox.channel import ChannelConfig, ChannelLimits, PackChannel
from core_runtime.sandbox.engine_port import EngineInfo
from core_runtime.sandbox.limits import Caps, limits_of
from core_runtime.sandbox.ports import CapabilityGate, Channel, ChannelEvents, PackLaunch
from core_runtime.sandbox.session import SandboxConfig, Surroundings
from core_runtime.sandbox.supervisor import Supervisor
from core_runtime.sandbox.uids import PackUids, SameUid, UidMap
from core_runtime.settings import PROJECT_ROOT, KernelSettings, LoadedSettings
from core_runtime.signing import KeyRing, open_key_ring

if TYPE_CHECKING:
    from flask import Flask

STATE_FOLDERS = ("permissions", "settings", "flows", "run", "stores", "audit", "sealed")
CATALOGUE_VERSION = "1"
HELLO_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile keeps on disk, opened and locked for one kernel."""

    settings: LoadedSettings
    root: Path
    clock: Clock
    files: StateFiles
    keys: KeyRing
    audit: AuditLog
    documents: SignedStore

    @property
    def values(self) -> KernelSettings:
        """The settings."""
        return self.settings.values

    @property
    def instance_id(self) -> str:
        """Names this installation; containers carry it as a label."""
        return self.keys.instance_id

    def audit_files(self) -> AuditFiles:
        """The trail, for reading."""
        return AuditFiles(self.root / "audit", signer(self.keys, "audit.heads"))

    def signed(self, name: str) -> SignedDocument:
        """One signed document of the kernel's own, `permissions/<name>.signed.json`."""
        return self.documents.document(name)


def signer(keys: KeyRing, purpose: str) -> Callable[[bytes], str]:
    """Signs bytes for one purpose; gives nothing while the key is locked."""

    def sign(data: bytes) -> str:
        return "" if keys.locked else hmac.new(keys.derive(purpose), data, hashlib.sha256).hexdigest()

    return sign


@asynccontextmanager
async def open_profile(settings: LoadedSettings) -> AsyncIterator[Profile]:
    """Lock and open. Raises `Conflict` (another kernel), `Unavailable`, `StorageFull`."""
    root = settings.values.profile_root.absolute()
    async with AsyncExitStack() as stack:
        files = await asyncio.to_thread(StateFiles, root)
        stack.callback(files.close)
        stack.enter_context(ProfileLock(root))
        clock = SystemClock()
        for folder in STATE_FOLDERS:
            files.make_folder(folder)
        files.remove_leftovers(("", *STATE_FOLDERS))
        files.keep_reserve()
        keys = await asyncio.to_thread(open_key_ring, files)
        if keys.locked and "heads.jsonl" in files.list("audit"):
            files.move("audit/heads.jsonl", f"audit/void-{int(clock.wall() * 1000)}-heads.jsonl")
        audit = await asyncio.to_thread(AuditLog, root / "audit", clock, signer(keys, "audit.heads"))
        stack.push_async_callback(asyncio.to_thread, audit.close)
        documents = SignedStore(files, keys, purpose="kernel", folder="permissions", suffix=".signed.json")
        yield Profile(settings, root, clock, files, keys, audit, documents)


def pack_uids(profile: Profile) -> PackUids:
    """One uid for each pack, from a range that is this profile's alone on this machine."""
    uid = os.geteuid()

    def map_of(info: EngineInfo) -> UidMap:
        base = profile.values.uid_base
        reserved = reserve_range(register_path(uid=uid, home=Path.home()), profile.root, wanted_base=base)
        return uid_map(info, reserved, user_names=(getpass.getuser(), str(uid)))

    return PackUids(DurableFile(profile.root / "run" / "uids.json"), map_of)


class Channels:
    """Makes the kernel's end of a pack's connection."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, launch: PackLaunch, gate: CapabilityGate, events: ChannelEvents) -> Channel:
        """A channel for one start of one pack."""
        limits = limits_of(launch.descriptor.sandbox, Caps())
        config = ChannelConfig(
            settings=launch.settings,
            concurrency=limits.concurrency,
            max_streams=limits.max_streams,
            proxy=launch.descriptor.wants_network,
            limits=ChannelLimits(hello_seconds=HELLO_SECONDS),
        )
        return PackChannel(launch.descriptor.pack_id, gate, events, config, self._clock)


class Assembly:
    """One kernel over an open profile, in the order in which its parts need each other."""

    def __init__(self, profile: Profile, bundled: Collection[tuple[str, str]] = ()) -> None:
        self.profile = profile
        self.clock = profile.clock
        self.image = sandbox_image(profile.values.sandbox_image)
        self.catalog = EcosystemCatalog(profile.values.ecosystem_dir.absolute())
        self.catalogue = builtin_catalogue()
        self.diagnostics = DiagnosticsBook()
        self.registry = InterfaceRegistry()
        self.approvals = self._approvals()
        self.facts = ApprovalFacts(self.approvals, ActorPolicy(preset=Preset(profile.values.profile)))
        self.runner = LateRunner()
        self.router = Router(self.registry, self.runner, self.approvals)
        self.events = KernelEvents(self.registry, self.runner, self.clock)
        self.book = FlowBook(known_interfaces=lambda: [item.decl.name for item in self.registry.all()])
        self.flow_files = FolderFlowFiles(profile.root / "flows", PROJECT_ROOT / "flow" / "core")
        self.lifecycle = self._lifecycle()
        self._bundled = bundled

    async def open(self, stack: AsyncExitStack) -> Kernel:
        """Make what lives on the loop and has to be closed."""
        self.engine = self._engine()
        stack.push_async_callback(self.engine.close)
        self.stores = SqliteStores(self.profile.root / "stores", self.clock)
        stack.push_async_callback(self.stores.close)
        uses_sign = signer(self.profile.keys, "grant.uses")
        uses = await asyncio.to_thread(SqliteUses.open, self.profile.root / "permissions" / "uses.sqlite3", uses_sign)
        stack.push_async_callback(uses.close)
        flows = KernelFlowRunner()
        self.broker = self._broker(uses, flows)
        self.events.judge_by(self.broker)
        listeners = UnixListeners(self.profile.root / "run", self.clock)
        with suppress(RumiError):  # then each start tries it again, and says why it cannot
            await asyncio.to_thread(listeners.prepare)  # before any start: two first ones would clear up at once
        self.supervisor = self._supervisor(listeners)
        self.runner.run_by(self.supervisor)
        self.world = KernelWorld(self.broker, self.router, self.events)
        limits = EngineLimits(concurrent=self.profile.values.max_concurrent_flows)
        self.flows = FlowEngine(EngineParts(self.world, self.book, self.lifecycle, self.clock, limits))
        flows.run_on(self.flows)
        self.kernel = self._kernel()
        stack.push_async_callback(self.kernel.close)
        return self.kernel

    def candidates(self) -> Collection[tuple[str, Path]]:
        """The pack folders there are, for the watcher."""
        return self.catalog.candidates()

    async def engine_status(self) -> Mapping[str, object]:
        """What the engine says of itself."""
        try:
            info = await self.engine.info()
        except RumiError as error:
            return {"available": False, "security_mode": self.profile.values.security_mode, "error": error.to_wire()}
        return {"available": True, "security_mode": self.profile.values.security_mode, **asdict(info)}

    async def checks(self) -> Sequence[Diagnostic]:
        """What the doctor's checks of the engine find now, except what is in order."""
        address = self.profile.values.docker_host
        found = [
            await check.run() for check in engine_checks(self.engine, image=self.image, address=address, tls=False)
        ]
        return [
            Diagnostic(Severity(str(item.severity)), item.code, item.subject, item.message, item.hint)
            for item in found
            if str(item.severity) != "ok"
        ]

    def _approvals(self) -> ApprovalService:
        profile = self.profile
        return ApprovalService(
            ApprovalParts(
                catalog=self.catalog,
                reader=FolderReader(),
                sealed=SealedStore(profile.root / "sealed", SystemOperations(), flush_all_of),
                files=profile.files,
                keys=profile.keys,
                audit=profile.audit,
                clock=self.clock,
                book=self.catalogue,
                environment=lambda: PlanEnvironment(KERNEL_VERSION, CATALOGUE_VERSION, self.image),
            )
        )

    def _lifecycle(self) -> PackLifecycle:
        return PackLifecycle(
            LifecycleParts(
                standings=self.approvals,
                sealed=self.approvals,
                registry=self.registry,
                router=self.router,
                events=self.events,
                flows=self.book,
                flow_files=self.flow_files,
                settings=ProfileSettings(self.profile.root),
                diagnostics=self.diagnostics,
                names=self.profile.signed("names"),
            ),
            self.runner,
        )

    def _engine(self) -> DockerEngine | SubprocessEngine:
        """The engine of the security mode. There is no way from one to the other while the kernel runs (CT-21)."""
        if self.profile.values.security_mode == "permissive":
            return SubprocessEngine(PROJECT_ROOT / "docker" / "core" / "runtime", security_mode="permissive")
        return DockerEngine(self.profile.values.docker_host)

    def _broker(self, uses: SqliteUses, flows: KernelFlowRunner) -> Broker:
        ports = BrokerPorts(
            facts=self.facts,
            targets=NamedTargets(self.registry, self.approvals),
            uses=uses,
            trail=self.profile.audit,
            clock=self.clock,
            risk_rules=RiskRules(self.clock),
            later=lambda seconds, action: asyncio.get_running_loop().call_later(seconds, action),
        )
        handlers = builtin_handlers(HandlerPorts(self.stores, self.router, flows, self.events))
        return Broker(self.catalogue, handlers, ports)

    def _supervisor(self, listeners: UnixListeners) -> Supervisor:
        values = self.profile.values
        permissive = values.security_mode == "permissive"
        return Supervisor(
            Surroundings(
                self.engine,
                listeners,
                Channels(self.clock),
                BrokerGate(self.broker),
                ApprovedCopies(self.approvals),
            ),
            SameUid(os.geteuid()) if permissive else pack_uids(self.profile),
            events=self.lifecycle,
            clock=self.clock,
            config=SandboxConfig(
                instance_id=self.profile.keys.instance_id,
                image=self.image,
                runtime=values.sandbox_runtime,
                extra_ca=values.extra_ca,
            ),
        )

    def _kernel(self) -> Kernel:
        owner_flows = OwnerFlows(
            self.flow_files,
            self.profile.signed("flows"),
            self.book,
            diagnostics=self.diagnostics,
            audit=self.profile.audit,
            clock=self.clock,
        )
        boot = BootSequence(
            BootParts(
                approvals=self.approvals,
                lifecycle=self.lifecycle,
                orphans=self.supervisor,
                owner_flows=owner_flows,
                diagnostics=self.diagnostics,
                secure=self._secure,
                engine=self._engine_answers,
            ),
            BootOptions(self._bundled),
        )
        return Kernel(
            KernelParts(
                clock=self.clock,
                diagnostics=self.diagnostics,
                approvals=self.approvals,
                facts=self.facts,
                broker=self.broker,
                registry=self.registry,
                events=self.events,
                supervisor=self.supervisor,
                lifecycle=self.lifecycle,
                world=self.world,
                book=self.book,
                engine=self.flows,
                flow_files=self.flow_files,
                owner_flows=owner_flows,
                boot=boot,
            )
        )

    async def _secure(self) -> None:
        if self.profile.keys.locked:
            raise Conflict(
                f"The signing key cannot be believed: {self.profile.keys.locked}.",
                hint="Restore permissions/.secret_key, or approve the packs again: rumi pack plan ID",
            )

    async def _engine_answers(self) -> None:
        await self.supervisor.engine_info()
        await self.engine.image(self.image)


def create_app(doors: KernelDoors, bridge: Bridge) -> Flask:
    """The Flask application of the admin API. Imported when doors open: packs start without it."""
    from core_runtime.interfaces.admin.flask_app import create_admin_app

    return create_admin_app(doors, bridge)


def serving() -> Serving[Profile]:
    """What runs a kernel of this root."""
    return Serving(Root(open_profile, Assembly, create_app))


def main(argv: Sequence[str] | None = None) -> int:
    """`run` is what `bootstrap.py run` hands over to; everything else is the `rumi` command."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["run"]:
        return run_command(serving(), arguments[1:])
    hooks = command_hooks(lambda options: serving().serve(approve_bundled=options.approve_bundled))
    return application.main(hooks, arguments)


if __name__ == "__main__":
    sys.exit(main())
