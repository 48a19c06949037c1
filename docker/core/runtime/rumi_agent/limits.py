"""Every number of the agent in one place. Those of the wire are fixed by its page; the rest are the agent's own."""

PROTOCOL = 1
AGENT_VERSION = "rumi-agent/1.0.0"

MAX_VALUE_BYTES = 4 * 1024 * 1024
MAX_FRAME_BYTES = MAX_VALUE_BYTES + 64 * 1024
MAX_DATA_BYTES = 256 * 1024
MAX_ID = 2**53 - 1

WINDOW_ITEMS = 64
WINDOW_BYTES = 256 * 1024

DEFAULT_TIMEOUT_SECONDS = 30.0
EVENT_TIMEOUT_SECONDS = 120.0
# The kernel keeps every deadline, because a deadline stands still while a person is asked, which may take 30 days. This
# is only so that no wait is without an end.
BACKSTOP_SECONDS = 31 * 24 * 3600.0

MAX_QUEUED_CALLS = 4096
NESTED_CALLS = 32  # threads beyond `concurrency` while handlers wait for calls that may come back to this very pack
STALL_SECONDS = 1.0  # after which a pack whose every place waits for itself gives up its newest call
IDLE_THREAD_SECONDS = 10.0
TICK_SECONDS = 0.002
QUIET_TICKS = 5
SLOW_SECONDS = 0.001
LATE_FLUSH_SECONDS = 0.0005
STEADY_RUNS = 32
UNSENT_FRAMES = 256
TERM_GRACE_SECONDS = 1.5

LOG_LINE_BYTES = 16 * 1024
LOG_LINES_PER_SECOND = 200
LOG_BURST = 400
LOG_KEPT_BEFORE_HELLO = 100

ERROR_TEXT_CHARACTERS = 2000
BACKGROUND_FIRST_DELAY = 1.0
BACKGROUND_LAST_DELAY = 60.0

EXIT_MALFORMED = 70
