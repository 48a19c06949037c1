"""Every limit, by where it stands in the code, in which unit, and in words. Written by hand; the values are not.

A limit that is renamed or taken out of the code stops the generator, and a test refuses a `MAX_*` of the kernel that
is missing here: so each one has a number on the page (promise S9).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """`where` is `module:NAME` below core_runtime, `backend_core...:NAME`, or `agent:NAME` for the container agent.

    `NAME` may be `Class.field`; then the field's default is the limit. `unit` is bytes, seconds or empty (a count).
    """

    where: str
    unit: str
    words: str


@dataclass(frozen=True, slots=True)
class Group:
    """One section of the page."""

    title: str
    note: str
    limits: tuple[Limit, ...]


def _group(title: str, note: str, *limits: tuple[str, str, str]) -> Group:
    return Group(title, note, tuple(Limit(*limit) for limit in limits))


PACKS = _group(
    "Packs on the disk",
    "A pack that is over one of these is `invalid` and says which.",
    ("approval.digest:MAX_FILES", "", "files of a pack"),
    ("approval.digest:MAX_FOLDERS", "", "folders of a pack"),
    ("approval.digest:MAX_TREE_BYTES", "bytes", "all files of a pack together"),
    ("approval.digest:MAX_FILE_BYTES", "bytes", "one file"),
    ("approval.digest:MAX_DEPTH", "", "depth of folders"),
    ("approval.digest:MAX_PATH_BYTES", "bytes", "one path, from the pack's root"),
    (
        "backend_core.ecosystem.pack_files:MAX_JSON_BYTES",
        "bytes",
        "ecosystem.json, permissions.json, one manifest.json",
    ),
    ("backend_core.ecosystem.pack_files:MAX_JSON_TOGETHER", "bytes", "all these JSON files of a pack together"),
    ("backend_core.ecosystem.describe:MAX_FLOW_BYTES", "bytes", "all flow files of a pack together"),
    ("backend_core.ecosystem.pack_files:MAX_ENTRIES", "", "entries read in one folder of a pack"),
    ("backend_core.ecosystem.models:MAX_VERSION", "", "characters of a version"),
    ("backend_core.ecosystem.models:MAX_RANGE", "", "characters of a range of versions"),
    ("backend_core.ecosystem.models:MAX_RISK_RULES", "", "risk rules of an interface"),
    ("backend_core.ecosystem.problems:MAX_PROBLEMS", "", "mistakes that are listed for one pack"),
    ("backend_core.ecosystem.discovery:MAX_PACKS", "", "packs in the ecosystem folder"),
    ("ids:MAX_NAME_LENGTH", "", "characters of an interface, permission, store, flow, topic or setting name"),
    ("ids:MAX_LEVELS", "", "levels of a pack id (`a__b__c__d`)"),
)

APPROVAL = _group(
    "Approval and grants",
    "",
    ("approval.rules:COOLDOWN_SECONDS", "seconds", "until rejected bytes may ask again"),
    ("approval.rules:REJECTIONS_TO_BLOCK", "", "rejections until an identity is blocked"),
    ("approval.rejections:MAX_DIGESTS", "", "rejected digests remembered for one identity"),
    ("approval.diff:MAX_TEXT_BYTES", "bytes", "a file whose difference is shown as text"),
    ("approval.diff:MAX_DIFF_CHARS", "", "characters of all differences of one plan"),
    ("approval.diff:MAX_PAIRS", "", "pairs of lines that one difference compares"),
    ("approval.grants:MAX_BATCH", "", "grants in one batch"),
    ("approval.grants:MAX_COUNT", "", "uses that `max_count` may allow"),
    ("approval.grants:MAX_NOTE", "", "characters of a grant's note"),
    ("approval.expiry:MAX_SECONDS_AHEAD", "seconds", "how far ahead a grant may end"),
    ("approval.records:MAX_RECORD_BYTES", "bytes", "one signed record"),
    ("approval.records:MAX_RECORDS", "", "signed records of one kind"),
    ("approval.records:MAX_SEQUENCE", "", "sequence number of a record"),
    ("signing:MAX_INSTANCE_BYTES", "bytes", "instance.json"),
)

CONTAINER = _group(
    "The container",
    "What a pack's `sandbox` asks for is cut down to the most, and lifted to the least that an agent needs to start.",
    ("sandbox.limits:Caps.memory", "bytes", "most memory of a pack; there is no swap"),
    ("sandbox.limits:Caps.cpus", "", "most processor cores"),
    ("sandbox.limits:Caps.pids", "", "most processes and threads"),
    ("sandbox.limits:Caps.concurrency", "", "most calls that occupy a thread at once"),
    ("sandbox.limits:Caps.max_streams", "", "most streams at once"),
    ("sandbox.limits:LEAST.memory", "bytes", "least memory"),
    ("sandbox.limits:LEAST.cpus", "", "least processor cores"),
    ("sandbox.limits:LEAST.pids", "", "least processes and threads"),
    ("sandbox.session:SandboxConfig.hello_seconds", "seconds", "from the start to the agent's first word"),
    ("sandbox.session:SandboxConfig.stop_seconds", "seconds", "to finish after SIGTERM, before it is killed"),
    (
        "sandbox.session:SandboxConfig.hang_grace_seconds",
        "seconds",
        "after a missed deadline, before a hung pack is ended",
    ),
    ("sandbox.session:SandboxConfig.most_waiting", "", "calls that wait for one pack that is starting"),
    ("sandbox.restart:CRASHES_BEFORE_STOP", "", "crashes after which a pack is not started again"),
    ("sandbox.restart:WINDOW_SECONDS", "seconds", "within which these crashes count"),
    ("sandbox.restart:FIRST_PAUSE_SECONDS", "seconds", "pause before the first restart; it doubles"),
    ("sandbox.restart:LONGEST_PAUSE_SECONDS", "seconds", "longest pause before a restart"),
    ("sandbox.uids:RANGE_SIZE", "", "user ids of one profile, one for each pack ever started"),
    ("sandbox.entry:MAX_PENDING_EVENTS", "", "events kept for a pack that is starting"),
    ("sandbox.logs:MAX_LINES", "", "log lines kept for each pack"),
    ("sandbox.logs:MAX_CHARACTERS", "", "characters of log kept for each pack"),
    ("sandbox.logs:MAX_OUTPUT_BYTES", "bytes", "standard output and error that are read back of one start"),
    ("adapters.docker_engine.engine:CALL_SECONDS", "seconds", "one request to the container engine"),
    ("adapters.docker_engine.engine:MAX_LOG_BYTES", "bytes", "log read from the engine at once"),
    ("adapters.subprocess_engine:MAX_OUTPUT", "bytes", "output kept of one pack in permissive mode"),
    ("adapters.uid_range:MAX_BYTES", "bytes", "the machine's register of user id ranges, and /etc/subuid"),
)

WIRE = _group(
    "Calls between kernel and container",
    "",
    ("wire.limits:MAX_VALUE_BYTES", "bytes", "one argument object or answer"),
    ("wire.limits:MAX_FRAME_BYTES", "bytes", "one frame"),
    ("wire.limits:MAX_CHUNK_BYTES", "bytes", "one chunk of a stream of bytes"),
    ("wire.limits:MAX_ID", "", "number of a call on one connection"),
    ("wire.limits:FIRST_ITEMS", "", "items of a stream before the receiver allows more"),
    ("wire.limits:FIRST_BYTES", "bytes", "bytes of a stream before the receiver allows more"),
    ("sandbox.channel.config:ChannelLimits.calls_in", "", "wishes of one pack in work at once"),
    ("sandbox.channel.config:ChannelLimits.calls_out", "", "calls into one pack at once"),
    ("sandbox.channel.config:ChannelLimits.default_deadline", "seconds", "a wish that names no time limit"),
    ("sandbox.channel.config:ChannelLimits.longest_deadline", "seconds", "a wish, whatever limit it names"),
    ("sandbox.channel.config:ChannelLimits.frame_seconds", "seconds", "a frame that has begun to arrive"),
    ("sandbox.channel.config:ChannelLimits.ping_seconds", "seconds", "between two looks whether a pack is alive"),
    ("sandbox.channel.config:ChannelLimits.pong_seconds", "seconds", "without any answer until the connection ends"),
    ("sandbox.channel.config:ChannelLimits.idle_seconds", "seconds", "a stream in which nothing moves"),
    ("sandbox.channel.config:ChannelLimits.stuck_seconds", "seconds", "a pack that does not read what is sent"),
    ("sandbox.channel.config:ChannelLimits.inbound_bytes", "bytes", "received from one pack and not yet taken"),
    ("sandbox.channel.config:ChannelLimits.outbound_hard", "bytes", "waiting to be sent to one pack"),
    ("sandbox.channel.config:ChannelLimits.components", "", "components that one pack may report"),
    ("sandbox.channel.config:ChannelLimits.log_lines", "", "log lines of one pack in a second"),
    ("sandbox.channel.config:ChannelLimits.log_bytes", "bytes", "one log line"),
    ("agent:DEFAULT_TIMEOUT_SECONDS", "seconds", "`rumi_capability.call` without `timeout_seconds`"),
    ("agent:EVENT_TIMEOUT_SECONDS", "seconds", "a handler of an event"),
    ("agent:MAX_QUEUED_CALLS", "", "calls that wait for a thread of the pack"),
    ("agent:NESTED_CALLS", "", "threads beyond `concurrency` for calls that come back to the same pack"),
    ("agent:ERROR_TEXT_CHARACTERS", "", "characters of an exception that reach the caller"),
    ("agent:BACKGROUND_FIRST_DELAY", "seconds", "pause before background work that failed begins again; it doubles"),
    ("agent:BACKGROUND_LAST_DELAY", "seconds", "longest such pause"),
)

RIGHTS = _group(
    "Permissions",
    "",
    ("capability.catalogue:HANDLER_TIMEOUT", "seconds", "one act of a built-in permission"),
    ("capability.catalogue:HANDLER_CONCURRENCY", "", "acts of one permission at once, for each pack"),
    ("capability.slots:MAX_WAITING", "", "acts that wait for such a place"),
    ("capability.broker:HOST_CONCURRENCY", "", "acts of the owner at once"),
    ("capability.answers:MAX_ANSWER_BYTES", "bytes", "one answer"),
    ("capability.fields:MAX_PATTERNS", "", "entries of an allow-list"),
    ("capability.fields:MAX_STARS", "", "`*` in one entry"),
    ("authority:MAX_CHAIN_DEPTH", "", "depth of calls between packs and flows"),
    ("capability.rates:MAX_KEYS", "", "rates that are counted at once"),
    ("capability.questions:MAX_STANDINGS", "", "prepared decisions that are kept"),
    (
        "capability.audit_budget:DENIED.per_second",
        "",
        "refusals of one pack in a second with a line each; more are counted",
    ),
    ("capability.audit_budget:ALLOWED.per_second", "", "allowed acts in a second with a line each; more are counted"),
    ("capability.audit_budget:ALLOWED.burst", "", "allowed acts at once with a line each"),
    ("capability.audit_budget:MAX_KINDS", "", "kinds of counted lines of one pack in a second; the rest are one kind"),
    ("capability.audit_budget:MAX_PRINCIPALS", "", "packs whose lines are counted"),
    ("handlers.event_publish:MAX_PAYLOAD_BYTES", "bytes", "the payload of an event"),
    ("kernel.events:MAX_SUBSCRIPTIONS", "", "subscriptions of one pack"),
    ("kernel.events:EVENT_SECONDS", "seconds", "one delivery of an event"),
    ("kernel.risk_rules:MAX_OPERATIONS", "", "operations of a risk rule at one call"),
    ("kernel.risk_rules:MAX_COMPILED", "", "compiled conditions of risk rules that are kept"),
)

STORES = _group(
    "Stores",
    "",
    ("capability.stores:MAX_KEY_BYTES", "bytes", "a key"),
    ("capability.stores:MAX_VALUE_BYTES", "bytes", "a value, whatever a pack declares"),
    ("capability.stores:MAX_TTL", "seconds", "time to live of an entry"),
    ("capability.stores:ENTRY_OVERHEAD", "bytes", "charged for each entry beside its key and value"),
    (
        "adapters.sqlite_store.database:BUSY_MILLISECONDS",
        "milliseconds",
        "wait for a database that another program locks",
    ),
    ("adapters.sqlite_store.writer:MAX_QUEUED", "", "writes that wait for one database"),
    ("adapters.sqlite_store.writer:MAX_BATCH", "", "writes that become durable together"),
    ("adapters.sqlite_store.stores:MAX_OPEN", "", "databases that are open at once"),
    ("adapters.sqlite_store.stores:MAX_REMEMBERED_FAILURES", "", "databases that could not be opened, as remembered"),
)

FLOWS = _group(
    "Flows",
    "",
    ("flows.limits:MAX_SOURCE_BYTES", "bytes", "a flow file"),
    ("flows.limits:MAX_STEPS", "", "steps of a file"),
    ("flows.limits:MAX_DEPTH", "", "depth of the YAML"),
    ("flows.limits:MAX_NODES", "", "values in the YAML, aliases followed"),
    ("flows.limits:MAX_ALIASES", "", "uses of YAML anchors"),
    ("flows.limits:MAX_PHASES", "", "phases"),
    ("flows.limits:MAX_BRANCHES", "", "branches of a `parallel`"),
    ("flows.limits:MAX_FAN_OUT", "", "rounds of a `foreach` at once"),
    ("flows.limits:MAX_ROUNDS", "", "rounds of all loops of one run"),
    ("flows.limits:MAX_TIMEOUT", "seconds", "`timeout`, `wait`, the intervals of `retry`"),
    ("flows.limits:MAX_ATTEMPTS", "", "attempts of a `retry`"),
    ("flows.limits:MAX_FLOW_LIMIT", "", "`concurrency.limit` of a flow"),
    ("flows.limits:MAX_VALUE", "bytes", "a step's value, and the outputs"),
    ("flows.limits:MAX_RUN_MEMORY", "bytes", "all values of one run"),
    ("flows.limits:MAX_INTEGER", "", "a whole number"),
    ("flows.limits:EXPRESSION_DEPTH", "", "depth of an expression"),
    ("flows.limits:EXPRESSION_OPERATIONS", "", "operations of an expression"),
    ("flows.limits:EXPRESSION_RESULT", "bytes", "the result of an expression"),
    ("flows.engine:EngineLimits.concurrent", "", "runs at once; `RUMI_MAX_CONCURRENT_FLOWS`"),
    ("flows.limits:QUEUED_RUNS", "", "runs that wait"),
    ("flows.limits:NESTED_RUNS", "", "runs that other runs have started"),
    ("flows.limits:RUN_SECONDS", "seconds", "one run"),
    ("flows.limits:FINALLY_SECONDS", "seconds", "`finally` of a run that was cancelled"),
    ("flows.limits:KEPT_RUNS", "", "ended runs that are remembered"),
    ("flows.limits:KEPT_STEPS", "", "steps remembered of each"),
    ("flows.limits:MAX_PROBLEMS", "", "mistakes that are listed for one file"),
    ("flows.limits:MAX_SUGGESTIONS", "", "nearest names that are looked for in one file"),
    ("flows.running.guarding:MAX_KEY", "", "characters of an `idempotency_key`"),
    ("adapters.flow_files:MAX_FLOW_BYTES", "bytes", "a flow file that is read from the disk"),
    ("adapters.flow_files:MAX_FILES", "", "flow files of the owner"),
    ("suggest:MAX_CANDIDATES", "", "names among which the nearest is looked for"),
    ("suggest:MAX_LENGTH", "", "characters of a name that is compared so"),
)

SCHEMAS = _group(
    "JSON Schemas of packs and flows",
    "",
    ("schemas.inspecting:MAX_SCHEMA_CHARACTERS", "", "characters of a schema"),
    ("schemas.inspecting:MAX_SCHEMA_NODES", "", "values in a schema"),
    ("schemas.inspecting:MAX_SCHEMA_DEPTH", "", "depth of a schema"),
    ("schemas.inspecting:MAX_ENUM", "", "values of an `enum`"),
    ("schemas.inspecting:MAX_PATTERN_STATES", "", "states of all patterns of a schema"),
    ("schemas.inspecting:MAX_EXPANDED", "", "rules of a schema once its references are followed"),
    ("schemas.shelf:MAX_COST", "", "values and pattern states of all schemas of one pack"),
    ("schemas.shelf:MAX_KEPT", "", "values and pattern states of all schemas that are kept compiled"),
    ("schemas.compiled:MAX_DATA_CHARACTERS", "", "characters of a value that is checked"),
    ("schemas.compiled:MAX_DATA_NODES", "", "values in what is checked"),
    ("schemas.compiled:MAX_DATA_DEPTH", "", "depth of what is checked"),
    ("schemas.compiled:MAX_ANSWERS", "", "mistakes that are reported at once"),
    ("schemas.patterns:MAX_PATTERN", "", "characters of a `pattern`"),
    ("schemas.patterns:MAX_STATES", "", "states of a pattern"),
    ("schemas.patterns:MAX_REPEAT", "", "a repeat count in a pattern"),
    ("schemas.patterns:MAX_GROUPS", "", "depth of groups in a pattern"),
    ("schemas.patterns:MAX_WORK", "", "new states that matching one text may need"),
    ("schemas.patterns:MAX_CACHED", "", "states that are kept"),
)

DOORS = _group(
    "Admin API and `rumi`",
    "",
    ("interfaces.admin.guards:MAX_BODY_BYTES", "bytes", "a request's body"),
    ("interfaces.admin.guards:BODY_SECONDS", "seconds", "for a body to arrive"),
    ("interfaces.admin.guards:MAX_TARGET_BYTES", "bytes", "a request's address"),
    ("interfaces.http_protocol:MAX_HEAD_BYTES", "bytes", "a request's head"),
    ("interfaces.http_protocol:MAX_HEADER_FIELDS", "", "header fields"),
    ("interfaces.http_protocol:HEAD_SECONDS", "seconds", "for a head to arrive"),
    ("interfaces.http_protocol:MAX_CONNECTIONS.tcp", "", "connections over TCP"),
    ("interfaces.http_protocol:MAX_CONNECTIONS.socket", "", "connections over `admin.sock`"),
    ("settings:KernelSettings.api_rate_per_minute", "", "requests of a token in a minute; `RUMI_API_RATE_PER_MINUTE`"),
    ("interfaces.admin.limits:MAX_ENTRIES", "", "tokens and sources that are counted"),
    ("interfaces.admin.limits:MAX_DELAY_SECONDS", "seconds", "how long the answer to a wrong token waits"),
    (
        "interfaces.admin.refusals:LINES_PER_MINUTE",
        "",
        "audit lines of one kind of refusal in a minute; more are counted",
    ),
    ("interfaces.admin.refusals:MAX_KEYS", "", "kinds of refusals that are counted"),
    ("interfaces.admin.bridge:CROSSING_SECONDS", "seconds", "a quick read"),
    ("interfaces.admin.asgi:SLOW_SECONDS", "seconds", "a write, a plan, a check of the audit trail"),
    ("interfaces.doors.work:DEFAULT_CALL_SECONDS", "seconds", "a call without `timeout`"),
    ("interfaces.doors.work:MAX_CALL_SECONDS", "seconds", "a call, whatever `timeout` says"),
    ("interfaces.doors.work:MAX_GATHERED", "bytes", "a stream that is answered as one value"),
    ("interfaces.server:MAX_SOCKET_PATH", "bytes", "path of `admin.sock`"),
    ("interfaces.cli.client:TIMEOUT_SECONDS", "seconds", "how long `rumi` waits for an answer"),
    ("interfaces.cli.client:LONG_TIMEOUT_SECONDS", "seconds", "how long `rumi call` and `rumi flow run` wait"),
    ("interfaces.cli.client:MAX_PAGES", "", "pages that `rumi` reads of one list"),
    ("interfaces.cli.client:MAX_SOCKET_PATH", "bytes", "path of a socket that `rumi` connects to"),
    ("interfaces.cli.values:MAX_FILE_BYTES", "bytes", "a file behind `@`"),
    ("interfaces.cli.work_commands:MAX_FLOW_BYTES", "bytes", "a file for `rumi flow approve`"),
    ("interfaces.cli.plan_view:MAX_FILES", "", "files of a plan that are shown without `--full`"),
    ("adapters.token_store:MAX_TOKENS", "", "API tokens"),
    ("interfaces.launch.opening:PERMISSIVE_TOKEN_SECONDS", "seconds", "the token that permissive mode prints"),
)

KERNEL = _group(
    "The kernel's own files",
    "",
    ("settings:MAX_SETTINGS_BYTES", "bytes", "settings/kernel.yaml"),
    ("adapters.owner_settings:MAX_BYTES", "bytes", "settings/packs.yaml"),
    ("adapters.audit_log.chain:MAX_LINE_BYTES", "bytes", "an audit line that is written"),
    ("adapters.audit_log.chain:MAX_TEXT", "", "characters of a text in an audit line"),
    ("adapters.audit_log.chain:MAX_ITEMS", "", "entries of a list or object in an audit line"),
    ("adapters.audit_log.chain:MAX_DEPTH", "", "depth of the details of an audit line"),
    ("adapters.audit_log.reading:MAX_BYTES", "bytes", "an audit line that is read"),
    ("adapters.audit_log.reading:MAX_QUERY", "", "audit lines in one answer"),
    (
        "adapters.audit_log.opening:RESERVED_BYTES",
        "bytes",
        "room kept so that stopping and revoking leave a line on a full disk",
    ),
    ("adapters.files:RESERVE_BYTES", "bytes", "room kept so that stopping and revoking work on a full disk"),
    ("adapters.watch:MAX_NAMES", "", "changed folders that are noted before one look at everything"),
    ("kernel.diagnostics:MAX_ENTRIES", "", "diagnostics"),
    ("kernel.diagnostics:MAX_TEXT", "", "characters of a diagnostic"),
    ("kernel.facade:DRAIN_SECONDS", "seconds", "for work in flight to end when the kernel stops"),
)

GROUPS = (PACKS, APPROVAL, CONTAINER, WIRE, RIGHTS, STORES, FLOWS, SCHEMAS, DOORS, KERNEL)
