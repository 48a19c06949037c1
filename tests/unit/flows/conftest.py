"""Fakes for flows: a clock that stands still, a world that records what is asked of it, an engine around both."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from core_runtime.authority import CallContext, Principal
from core_runtime.errors import NotFound
from core_runtime.flows.book import FlowBook
from core_runtime.flows.engine import EngineLimits, EngineParts, FlowEngine, RunResult


class FakeClock:
    """2026-01-02T03:04:05.678Z, and a monotonic time that only tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def wall(self) -> float:
        return 1767323045.678

    def monotonic(self) -> float:
        return self.now


@dataclass
class Asked:
    """One thing that a flow asked of the world."""

    kind: str
    principal: str
    name: str
    args: object
    context: CallContext


@dataclass
class FakeWorld:
    """Answers by name: a value, an exception to raise, or a function of the arguments (which may be a coroutine)."""

    answers: dict[str, object] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def call(self, principal: Principal, name: str, args: object, context: CallContext) -> object | Awaitable[object]:
        return self._answer("call", principal.id, name, args, context)

    def capability(
        self, principal: Principal, permission: str, args: Mapping[str, object], context: CallContext
    ) -> object | Awaitable[object]:
        return self._answer("capability", principal.id, permission, args, context)

    def block(self, pack_id: str, file: str, args: object, context: CallContext) -> object | Awaitable[object]:
        return self._answer("block", pack_id, file, args, context)

    def publish(self, principal: Principal, topic: str, payload: object, context: CallContext) -> None:
        self.asked.append(Asked("publish", principal.id, topic, payload, context))

    def _answer(self, kind: str, principal: str, name: str, args: object, context: CallContext) -> object:
        self.asked.append(Asked(kind, principal, name, args, context))
        if name not in self.answers:
            raise NotFound(f"no {name}")
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer(args) if callable(answer) else answer

    def names(self) -> list[str]:
        return [item.name for item in self.asked]


class FakeSettings:
    """Settings that say whose they are."""

    def settings_of(self, owner: str) -> Mapping[str, object]:
        return {"owner": owner, "limit": 3}


class Bench:
    """An engine with its book and world, and a short way to run a text as a flow of the owner or of a pack."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.world = FakeWorld()
        self.pauses: list[float] = []
        self.book = FlowBook()
        self.parts = EngineParts(self.world, self.book, FakeSettings(), self.clock, pause=self.pause)
        self.engine = FlowEngine(self.parts)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    def limit(self, limits: EngineLimits) -> None:
        self.parts = replace(self.parts, limits=limits)
        self.engine = FlowEngine(self.parts)

    def add(self, text: str, *, owner: str = "", file: str = "t.flow.yaml") -> str:
        """Register one flow; returns its id."""
        data = text.encode()
        if owner:
            self.book.register_pack(owner, [(file, data)])
            entry = next(entry for entry in self.book.entries() if entry.owner == owner)
        else:
            entry = self.book.register_owner(file, data, approved=True)
        assert not entry.diagnostic, [problem.text() for problem in entry.problems] or entry.diagnostic
        assert entry.flow_id is not None
        return entry.flow_id

    async def run(self, text: str, inputs: object = None, *, owner: str = "") -> RunResult:
        """Register and run one flow."""
        return await self.engine.run(self.add(text, owner=owner), {} if inputs is None else inputs)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    async def wait(condition: Callable[[], bool]) -> None:
        for _ in range(2000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("it never became true")

    return wait
