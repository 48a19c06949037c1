"""A whole flow file: its top-level keys, then its steps, then a `Flow` or everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from core_runtime.canonical import sha256_hex
from core_runtime.errors import ValidationFailed
from core_runtime.flows.expressions.template import Template
from core_runtime.flows.limits import MAX_FLOW_LIMIT, MAX_PHASES, MAX_TIMEOUT
from core_runtime.flows.loading.draft import Block
from core_runtime.flows.loading.fields import Reader
from core_runtime.flows.loading.references import Checker, Known
from core_runtime.flows.loading.steps import ON_ERROR_WORDS, Defaults, StepReader
from core_runtime.flows.model import ConcurrencyRule, Flow, Step, Use, WhenFull
from core_runtime.flows.problems import Findings, FlowProblem, shown
from core_runtime.flows.source import Node, read_yaml
from core_runtime.ids import is_name, is_variable
from core_runtime.schemas import CompiledSchema, compile_schema
from core_runtime.suggest import nearest

_KEYS: Final = (
    "flow_id",
    "description",
    "inputs",
    "defaults",
    "phases",
    "concurrency",
    "schedule",
    "memory",
    "steps",
    "errors",
    "finally",
    "outputs",
)
_CONTEXT_NAMES: Final = frozenset({"inputs", "steps", "ctx", "run", "settings"})


@dataclass(frozen=True, slots=True)
class LoadedFlow:
    """`flow` is None if any problem is an error. `flow_id` is known as soon as the file could say it."""

    digest: str
    flow_id: str | None
    flow: Flow | None
    problems: tuple[FlowProblem, ...]


def load_flow(data: bytes, *, file: str, owner: str, settings: Collection[str] | None = None) -> LoadedFlow:
    """Load one file. `owner` is `core`, `host` or a pack id; `settings` the keys of its settings, if they are known."""
    findings = Findings(file)
    digest = sha256_hex(data)
    root = read_yaml(data, findings)
    loaded = None
    if root is not None:
        if isinstance(root.value, dict):
            loaded = _Document(root, Reader(findings), owner, settings).load(file, digest)
        else:
            findings.add(root.place, "The file is no mapping.", expected="`flow_id` and `steps`")
    flow = None if findings.failed or loaded is None else loaded
    flow_id = loaded.flow_id if loaded is not None and is_name(loaded.flow_id) else None
    return LoadedFlow(digest, flow_id, flow, findings.sorted())


def environment_warnings(
    flow: Flow,
    *,
    interfaces: Collection[str] | None = None,
    flows: Collection[str] | None = None,
    permissions: Collection[str] | None = None,
) -> tuple[FlowProblem, ...]:
    """What the flow names that nothing provides now; a warning only, since it may be there when the flow runs."""
    found = [*_unprovided(flow, flow.interfaces, interfaces, "No approved pack provides the interface")]
    found += _unprovided(flow, flow.flows, flows, "There is no flow")
    found += _unprovided(flow, flow.permissions, permissions, "There is no permission")
    return tuple(sorted(found, key=lambda problem: (problem.line, problem.column)))


def _unprovided(flow: Flow, uses: tuple[Use, ...], known: Collection[str] | None, what: str) -> list[FlowProblem]:
    if known is None:
        return []
    return [
        FlowProblem(
            flow.file,
            use.place.line,
            use.place.column,
            f"{what} {shown(use.name)}.",
            "",
            nearest(use.name, known),
            "warning",
        )
        for use in uses
        if use.name not in known
    ]


class _Document:
    """The top level of one file."""

    def __init__(self, root: Node, reader: Reader, owner: str, settings: Collection[str] | None) -> None:
        self._root = root
        self._fields: dict[str, Node] = root.value if isinstance(root.value, dict) else {}
        self._reader = reader
        self._findings = reader.findings
        self._steps = StepReader(reader, owner)
        self._owner = owner
        self._settings = settings

    def load(self, file: str, digest: str) -> Flow:
        fields, reader = self._fields, self._reader
        reader.unknown_keys(self._root, _KEYS, "the flow")
        flow_id = self._flow_id()
        schema, defaults = self._inputs(fields.get("inputs"))
        self._later()
        self._steps.phases = phases = self._phases()
        self._steps.defaults = self._defaults(fields.get("defaults"))
        main = self._block("steps", top=True)
        errors, last = self._block("errors"), self._block("finally")
        if "steps" not in fields:
            self._findings.add(self._root.place, "The flow has no `steps`.", expected="a list of steps")
        checker = Checker(reader, self._steps.ids, _input_keys(schema), self._settings)
        checker.survey([main, errors, last])
        known: Known = set(_CONTEXT_NAMES)
        steps = checker.finish(main, known, phases)
        outputs = self._outputs(checker, known)
        flow = Flow(
            flow_id,
            self._owner,
            file,
            digest,
            steps,
            description=reader.text(fields.get("description"), "description") or "",
        )
        needs = self._steps.needs
        return replace(
            flow,
            inputs=schema,
            input_defaults=defaults,
            phases=phases,
            errors=self._tail(checker, errors, known),
            finally_steps=self._tail(checker, last, known),
            outputs=outputs,
            concurrency=self._concurrency(fields.get("concurrency")),
            step_count=self._steps.count,
            interfaces=tuple(needs.interfaces),
            flows=tuple(needs.flows),
            permissions=tuple(needs.permissions),
            blocks=tuple(needs.blocks),
        )

    def _block(self, key: str, *, top: bool = False) -> Block:
        return self._steps.block(self._fields.get(key), key, local=not top, binds=() if top else ("error",), top=top)

    def _tail(self, checker: Checker, block: Block, known: Known) -> tuple[Step, ...]:
        return checker.finish(block, known | {"error"})

    def _flow_id(self) -> str:
        node = self._fields.get("flow_id")
        if node is None:
            self._findings.add(self._root.place, "The flow has no `flow_id`.", expected="a name such as `greet`")
            return ""
        name = self._reader.text(node, "flow_id") or ""
        if name and not is_name(name):
            self._findings.add(node.place, f"{shown(name)} is no flow id.", expected="lower-case words joined by dots")
        return name

    def _inputs(self, node: Node | None) -> tuple[CompiledSchema | None, Mapping[str, object]]:
        if node is None:
            return None, {}
        plain = node.plain()
        try:
            schema = compile_schema(plain)
        except ValidationFailed as error:
            self._schema_problems(node, error)
            return None, {}
        properties = plain.get("properties") if isinstance(plain, dict) else None
        named = properties.items() if isinstance(properties, dict) else ()
        return schema, {key: item["default"] for key, item in named if isinstance(item, dict) and "default" in item}

    def _schema_problems(self, node: Node, error: ValidationFailed) -> None:
        listed = error.details.get("problems")
        for item in listed if isinstance(listed, list) else []:
            pointer = str(item["pointer"])
            self._findings.add(
                _at(node, pointer).key_place,
                f"`inputs` at {pointer or '/'}: {item['message']}.",
                expected="a JSON Schema (Draft 2020-12)",
            )

    def _later(self) -> None:
        node = self._fields.get("schedule")
        if node is not None:
            self._findings.add(
                node.key_place,
                "`schedule` is part of the language, but this version does not run it yet.",
                expected="a flow without it; start it from outside",
            )
        memory = self._fields.get("memory")
        if memory is not None and not isinstance(memory.value, bool):
            self._reader.wrong(memory, "memory", "true or false")

    def _phases(self) -> tuple[str, ...]:
        node = self._fields.get("phases")
        names: dict[str, None] = {}
        for item in self._reader.sequence(node, "phases"):
            name = self._reader.text(item, "phases")
            if name is None:
                continue
            if not is_variable(name) or name in names or len(names) >= MAX_PHASES:
                self._findings.add(
                    item.place,
                    f"{shown(name)} cannot be a phase.",
                    expected=f"at most {MAX_PHASES} different names in lower case",
                )
            names[name] = None
        return tuple(names)

    def _defaults(self, node: Node | None) -> Defaults:
        fields = self._reader.mapping(node, "defaults")
        if node is None or fields is None:
            return Defaults()
        self._reader.unknown_keys(node, ("timeout", "on_error", "retry"), "`defaults`")
        timeout = self._reader.seconds(fields.get("timeout"), "timeout", MAX_TIMEOUT)
        on_error = self._reader.choice(fields.get("on_error"), "on_error", ON_ERROR_WORDS) or "stop"
        retry = self._steps.retry(fields["retry"]) if "retry" in fields else None
        return Defaults(timeout, on_error, retry)

    def _concurrency(self, node: Node | None) -> ConcurrencyRule | None:
        fields = self._reader.mapping(node, "concurrency")
        if node is None or fields is None:
            return None
        self._reader.unknown_keys(node, ("limit", "when_full"), "`concurrency`")
        if "limit" not in fields:
            self._findings.add(node.place, "`concurrency` has no `limit`.", expected="how many runs at once")
        limit = self._reader.whole(fields.get("limit"), "limit", 1, MAX_FLOW_LIMIT)
        words = [word.value for word in WhenFull]
        return ConcurrencyRule(
            limit or 1, WhenFull(self._reader.choice(fields.get("when_full"), "when_full", words) or "queue")
        )

    def _outputs(self, checker: Checker, known: Known) -> Template:
        node = self._fields.get("outputs")
        if node is None or self._reader.mapping(node, "outputs") is None:
            return Template({})
        template = self._reader.template(node)
        checker.check(template, node, known)
        return template


def _at(node: Node, pointer: str) -> Node:
    """The node that a JSON pointer means, or the nearest around it."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        value = node.value
        if isinstance(value, dict) and key in value:
            node = value[key]
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            node = value[int(key)]
        else:
            break
    return node


def _input_keys(schema: CompiledSchema | None) -> Collection[str] | None:
    """The keys that inputs can have, or None where the schema leaves it open."""
    plain = schema.schema if schema is not None else None
    if not isinstance(plain, Mapping):
        return None
    properties = plain.get("properties")
    opened = {"$ref", "allOf", "anyOf", "oneOf", "if", "patternProperties", "dependentSchemas"} & set(plain)
    if not isinstance(properties, Mapping) or opened or plain.get("additionalProperties", False) is not False:
        return None
    return [str(key) for key in properties]
