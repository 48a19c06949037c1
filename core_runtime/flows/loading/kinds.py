"""Each step kind: its keys, their types, and how its action is made. One small function a kind, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from core_runtime.flows.expressions.scope import CONTEXTS
from core_runtime.flows.expressions.template import Template
from core_runtime.flows.expressions.tokens import KEYWORDS
from core_runtime.flows.limits import MAX_BRANCHES, MAX_FAN_OUT, MAX_ROUNDS, MAX_TIMEOUT
from core_runtime.flows.loading.draft import Block
from core_runtime.flows.loading.fields import Reader
from core_runtime.flows.model import (
    CORE_OWNER,
    HOST_OWNER,
    Action,
    Assign,
    Branch,
    CallInterface,
    CallKernel,
    Emit,
    ForEach,
    Kind,
    Parallel,
    RunBlock,
    RunFlow,
    Step,
    Stop,
    Use,
    Wait,
    While,
)
from core_runtime.flows.problems import Place, shown
from core_runtime.flows.source import Node
from core_runtime.ids import is_name, is_pack_id, is_variable

Steps = dict[str, tuple[Step, ...]]
Nulls = dict[str, tuple[str, ...]]
Finish = Callable[[Steps, Nulls], Action]
KERNEL_PREFIX: Final = "kernel:"
BOOT_PREFIX: Final = "boot."


class BlockReader(Protocol):
    """Reads a nested list of steps."""

    def block(self, node: Node | None, label: str, *, local: bool, binds: tuple[str, ...] = ()) -> Block:
        """The steps of one list."""


@dataclass(slots=True)
class Needs:
    """Names of the world that a file mentions."""

    interfaces: list[Use] = field(default_factory=list)
    flows: list[Use] = field(default_factory=list)
    permissions: list[Use] = field(default_factory=list)
    blocks: list[Use] = field(default_factory=list)


@dataclass(slots=True)
class KindDraft:
    """What a kind makes of its own keys. `inner` templates see the names of the block, not only those around it."""

    finish: Finish
    templates: list[tuple[Template, Node]] = field(default_factory=list)
    inner: list[tuple[Template, Node]] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    sets: tuple[str, ...] = ()


@dataclass(slots=True)
class KindContext:
    """What the readers of kinds share."""

    reader: Reader
    steps: BlockReader
    owner: str
    needs: Needs


Fields = dict[str, Node]


def _input(context: KindContext, fields: Fields) -> tuple[Template, list[tuple[Template, Node]]]:
    node = fields.get("input")
    if node is None:
        return Template({}), []
    template = context.reader.template(node)
    return template, [(template, node)]


def _call(context: KindContext, fields: Fields, node: Node) -> KindDraft:
    name = context.reader.text(node, "call") or ""
    template, templates = _input(context, fields)
    if name.startswith(KERNEL_PREFIX):
        permission = name.removeprefix(KERNEL_PREFIX)
        _named(context, node, permission, "permission", context.needs.permissions)
        if permission.startswith(BOOT_PREFIX) and context.owner != CORE_OWNER:
            context.reader.findings.add(
                node.place,
                f"{shown(name)} belongs to the kernel's own start.",
                expected="a permission of the catalogue",
            )
        if "input" in fields and not isinstance(fields["input"].value, dict) and not template.whole:
            context.reader.wrong(fields["input"], "input", "a mapping of the permission's arguments")
        return KindDraft(lambda _s, _n: CallKernel(permission, template), templates)
    _named(context, node, name, "interface", context.needs.interfaces)
    return KindDraft(lambda _s, _n: CallInterface(name, template), templates)


def _named(context: KindContext, node: Node, name: str, what: str, uses: list[Use]) -> None:
    if is_name(name):
        uses.append(Use(name, node.place))
    elif isinstance(node.value, str) and "${" not in node.value:
        context.reader.findings.add(
            node.place, f"{shown(name)} is no name of a {what}.", expected="lower-case words joined by dots"
        )


def _file(context: KindContext, fields: Fields, node: Node) -> KindDraft:
    reader = context.reader
    parts = reader.mapping(node, "file") or {}
    reader.unknown_keys(node, ("pack", "file"), "`file`")
    own = context.owner not in {CORE_OWNER, HOST_OWNER}
    pack = reader.text(parts.get("pack"), "pack") or (context.owner if own else "")
    if own and pack != context.owner:
        reader.findings.add(
            parts["pack"].place,
            f"The block belongs to {shown(pack)}.",
            expected="a block of this pack: a pack's flow names only its own",
        )
    elif not is_pack_id(pack):
        reader.findings.add(node.place, f"{shown(pack)} is no pack id.", expected="`pack: <pack_id>`")
    file = reader.text(parts.get("file"), "file")
    if file is None and isinstance(node.value, dict) and "file" not in parts:
        reader.findings.add(node.place, "`file` does not say which block.", expected="{pack: ..., file: name.py}")
    elif file is not None and not _is_block_path(file):
        reader.findings.add(
            parts["file"].place,
            f"{shown(file)} is no block.",
            expected="a .py file relative to backend/blocks/, without `..`",
        )
    elif file is not None:
        context.needs.blocks.append(Use(f"{pack}/{file}", parts["file"].place))
    template, templates = _input(context, fields)
    block = file or ""
    return KindDraft(lambda _s, _n: RunBlock(pack, block, template), templates)


def _is_block_path(path: str) -> bool:
    parts = path.split("/")
    return (
        path.endswith(".py")
        and len(path) <= 240
        and "\\" not in path
        and path.isprintable()
        and all(part not in {"", ".", ".."} for part in parts)
    )


def _flow(context: KindContext, fields: Fields, node: Node) -> KindDraft:
    name = context.reader.text(node, "flow") or ""
    _named(context, node, name, "flow", context.needs.flows)
    template, templates = _input(context, fields)
    return KindDraft(lambda _s, _n: RunFlow(name, template), templates)


def variable_problem(name: str) -> str:
    """Why `name` cannot be a variable, or an empty text."""
    if not is_variable(name):
        return "lower-case letters, digits and `_`, beginning with a letter"
    if name in CONTEXTS or name in KEYWORDS:
        return "a name that is not reserved (" + ", ".join(sorted(CONTEXTS | KEYWORDS)) + ")"
    return ""


def check_variable(context: KindContext, name: str, place: Place) -> bool:
    """Note a finding if `name` cannot be a variable."""
    expected = variable_problem(name)
    if expected:
        context.reader.findings.add(place, f"{shown(name)} cannot be a name.", expected=expected)
    return not expected


def _set(context: KindContext, _fields: Fields, node: Node) -> KindDraft:
    values = context.reader.mapping(node, "set")
    if values is None:
        return KindDraft(lambda _s, _n: Assign(Template({})))
    names = tuple(name for name, item in values.items() if check_variable(context, name, item.key_place))
    template = context.reader.template(node)
    return KindDraft(lambda _s, _n: Assign(template), [(template, node)], sets=names)


def _if(context: KindContext, fields: Fields, node: Node) -> KindDraft:
    condition = context.reader.condition(node, "if")
    if "then" not in fields:
        context.reader.findings.add(node.key_place, "`if` has no `then`.", expected="a list of steps under `then`")
    then = context.steps.block(fields.get("then"), "then", local=False)
    otherwise = context.steps.block(fields.get("else"), "else", local=False)

    def finish(steps: Steps, nulls: Nulls) -> Action:
        return Branch(condition, steps["then"], steps["else"], nulls["then"], nulls["else"])

    return KindDraft(finish, [(condition, node)], blocks=[then, otherwise])


def _foreach(context: KindContext, fields: Fields, node: Node) -> KindDraft:
    reader = context.reader
    items = reader.template(node)
    if not items.whole and not isinstance(node.value, list):
        reader.wrong(node, "foreach", "a list, or ${...} that gives one")
    name = reader.text(fields.get("as"), "as") or "item"
    if "as" in fields and not check_variable(context, name, fields["as"].place):
        name = "item"
    width = reader.whole(fields.get("concurrency"), "concurrency", 1, MAX_FAN_OUT) or 1
    if "steps" not in fields:
        reader.findings.add(node.key_place, "`foreach` has no `steps`.", expected="a list of steps under `steps`")
    block = context.steps.block(fields.get("steps"), "steps", local=True, binds=(name,))
    return KindDraft(lambda steps, _n: ForEach(items, name, width, steps["steps"]), [(items, node)], blocks=[block])


def _while(context: KindContext, fields: Fields, node: Node) -> KindDraft:
    reader = context.reader
    condition = reader.condition(node, "while")
    most = reader.whole(fields.get("max_iterations"), "max_iterations", 1, MAX_ROUNDS)
    if "max_iterations" not in fields:
        reader.findings.add(
            node.key_place, "`while` has no `max_iterations`.", expected="the most rounds that make sense"
        )
    if "steps" not in fields:
        reader.findings.add(node.key_place, "`while` has no `steps`.", expected="a list of steps under `steps`")
    block = context.steps.block(fields.get("steps"), "steps", local=True)
    block.looping = True
    return KindDraft(
        lambda steps, _n: While(condition, most or 1, steps["steps"]), inner=[(condition, node)], blocks=[block]
    )


def _parallel(context: KindContext, _fields: Fields, node: Node) -> KindDraft:
    reader = context.reader
    branches = reader.mapping(node, "parallel") or {}
    if not 0 < len(branches) <= MAX_BRANCHES and isinstance(node.value, dict):
        reader.findings.add(node.place, f"`parallel` has {len(branches)} branches.", expected=f"1 to {MAX_BRANCHES}")
    blocks = []
    for name, item in branches.items():
        check_variable(context, name, item.key_place)
        blocks.append(context.steps.block(item, name, local=True))
    return KindDraft(
        lambda steps, _n: Parallel(tuple((block.label, steps[block.label]) for block in blocks)), blocks=blocks
    )


def _wait(context: KindContext, _fields: Fields, node: Node) -> KindDraft:
    reader = context.reader
    amount = node
    if isinstance(node.value, dict):
        if "seconds" in node.value:
            reader.unknown_keys(node, ("seconds",), "`wait`")
            amount = node.value["seconds"]
        elif node.value:
            return _not_yet(context, node, "`wait` for an event")
    value = amount.value
    if isinstance(value, str):
        template = reader.template(amount)
        if not template.whole:
            return _not_yet(context, node, "`wait` for an event")
        return KindDraft(lambda _s, _n: Wait(template), [(template, amount)])
    seconds = Template(reader.seconds(amount, "wait", MAX_TIMEOUT))
    return KindDraft(lambda _s, _n: Wait(seconds))


def _approve(context: KindContext, _fields: Fields, node: Node) -> KindDraft:
    return _not_yet(context, node, "`approve`")


def _not_yet(context: KindContext, node: Node, what: str) -> KindDraft:
    context.reader.findings.add(
        node.key_place,
        f"{what} is part of the language, but this version does not run it yet.",
        expected="a flow without it, so that nothing is left out in silence",
    )
    return KindDraft(lambda _s, _n: Assign(Template({})))


def _emit(context: KindContext, _fields: Fields, node: Node) -> KindDraft:
    reader = context.reader
    parts = reader.mapping(node, "emit") or {}
    reader.unknown_keys(node, ("topic", "payload"), "`emit`")
    topic = reader.text(parts.get("topic"), "topic")
    if topic is None and isinstance(node.value, dict) and "topic" not in parts:
        reader.findings.add(node.place, "`emit` has no `topic`.", expected="{topic: name, payload: ...}")
    elif topic is not None:
        owner, slash, name = topic.rpartition("/")
        if slash and owner != context.owner:
            reader.findings.add(
                parts["topic"].place,
                f"The topic {shown(topic)} belongs to another.",
                expected="a topic of its own: `name`",
            )
        elif not is_name(name):
            reader.findings.add(
                parts["topic"].place, f"{shown(topic)} is no topic.", expected="lower-case words joined by dots"
            )
    payload = reader.template(parts.get("payload"))
    uses = [(payload, parts["payload"])] if "payload" in parts else []
    return KindDraft(lambda _s, _n: Emit(topic or "", payload), uses)


def _stop(context: KindContext, _fields: Fields, node: Node) -> KindDraft:
    reader = context.reader
    if isinstance(node.value, str):
        text = reader.template(node)
        return KindDraft(lambda _s, _n: Stop(text, Template({})), [(text, node)])
    parts = {} if node.value is None else reader.mapping(node, "stop") or {}
    reader.unknown_keys(node, ("reason", "outputs"), "`stop`")
    if "outputs" in parts:
        reader.mapping(parts["outputs"], "outputs")
    reason = reader.template(parts.get("reason"))
    outputs = reader.template(parts["outputs"]) if "outputs" in parts else Template({})
    uses = [(template, parts[key]) for key, template in (("reason", reason), ("outputs", outputs)) if key in parts]
    return KindDraft(lambda _s, _n: Stop(reason, outputs), uses)


@dataclass(frozen=True, slots=True)
class KindReader:
    """A kind's reader and the keys beside its own that it takes."""

    read: Callable[[KindContext, Fields, Node], KindDraft]
    keys: frozenset[str] = frozenset()


KINDS: Final[dict[str, KindReader]] = {
    Kind.CALL: KindReader(_call, frozenset({"input", "idempotency_key"})),
    Kind.FILE: KindReader(_file, frozenset({"input", "idempotency_key"})),
    Kind.FLOW: KindReader(_flow, frozenset({"input", "idempotency_key"})),
    Kind.SET: KindReader(_set),
    Kind.IF: KindReader(_if, frozenset({"then", "else"})),
    Kind.FOREACH: KindReader(_foreach, frozenset({"as", "concurrency", "steps"})),
    Kind.WHILE: KindReader(_while, frozenset({"max_iterations", "steps"})),
    Kind.PARALLEL: KindReader(_parallel),
    Kind.APPROVE: KindReader(_approve),
    Kind.WAIT: KindReader(_wait),
    Kind.EMIT: KindReader(_emit),
    Kind.STOP: KindReader(_stop),
}
