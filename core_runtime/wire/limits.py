"""The numbers of the wire. Both codecs keep them; `tests/contract/wire` and `docs/reference/limits.md` name them.

Sizes are bytes. A frame may be a little larger than a value, so that an answer of exactly `MAX_VALUE_BYTES` fits.
"""

from __future__ import annotations

PROTOCOL = 1

MAX_VALUE_BYTES = 4 * 1024 * 1024
MAX_FRAME_BYTES = MAX_VALUE_BYTES + 64 * 1024
MAX_CHUNK_BYTES = 256 * 1024

FIRST_ITEMS = 64
FIRST_BYTES = 256 * 1024

MAX_ID = 2**53 - 1
