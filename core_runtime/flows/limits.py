"""Every number of the flow language in one place; the design page `flow-language` fixes most of them."""

from __future__ import annotations

from typing import Final

MIB: Final = 1_048_576

MAX_SOURCE_BYTES: Final = MIB
MAX_DEPTH: Final = 32
MAX_ALIASES: Final = 100
MAX_NODES: Final = 300_000
MAX_PROBLEMS: Final = 200
MAX_SUGGESTIONS: Final = 50

MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**64 - 1

EXPRESSION_DEPTH: Final = 20
EXPRESSION_OPERATIONS: Final = 10_000
EXPRESSION_RESULT: Final = MIB

MAX_STEPS: Final = 10_000
MAX_ROUNDS: Final = 1_000_000
MAX_FAN_OUT: Final = 1_000
MAX_BRANCHES: Final = 100
MAX_VALUE: Final = 4 * MIB
MAX_RUN_MEMORY: Final = 64 * MIB
MAX_TIMEOUT: Final = 30 * 86_400.0
MAX_ATTEMPTS: Final = 100
MAX_FLOW_LIMIT: Final = 1_024
MAX_PHASES: Final = 100

NESTED_RUNS: Final = 1_024
QUEUED_RUNS: Final = 1_000
KEPT_RUNS: Final = 200
KEPT_STEPS: Final = 500
RUN_SECONDS: Final = 86_400.0
FINALLY_SECONDS: Final = 30.0
STEPS_BETWEEN_BREATHS: Final = 64
