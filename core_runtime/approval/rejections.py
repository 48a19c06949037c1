"""Refusals by identity: the third one blocks, a refused digest waits an hour (AP-18).

They are counted by `pack_identity`, not by folder, id, version or digest, because those cost an author nothing to
change. Cooldowns run on the monotonic clock; after a restart on the wall clock, and one that was set back only makes
them longer. A record of refusals that cannot be believed counts as a block: forgetting a no is the one thing that
must not happen.
"""

from __future__ import annotations

from dataclasses import replace

from core_runtime.approval.codec import rejections_from_json, rejections_to_json
from core_runtime.approval.model import Rejections
from core_runtime.approval.records import SignedStore, TamperedRecord, TamperReason
from core_runtime.approval.rules import COOLDOWN_SECONDS, REJECTIONS_TO_BLOCK
from core_runtime.canonical import sha256_hex
from core_runtime.clock import Clock

MAX_DIGESTS = 32


class RejectionBook:
    """All refusals in memory and in their store. The writing methods block; reading is from memory."""

    def __init__(self, store: SignedStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, Rejections] = {}
        self._deadlines: dict[tuple[str, str], float] = {}
        self.tampered: dict[str, TamperedRecord] = {}

    def load(self) -> None:
        """Read all of them from the store."""
        loaded = self._store.load()
        self._known = {}
        self.tampered = dict(loaded.tampered)
        for name, record in loaded.records.items():
            try:
                self._known[name] = rejections_from_json(record.body)
            except ValueError:
                self.tampered[name] = self._store.verdict(name, TamperReason.BAD_CONTENT)

    def blocked(self, identity: str) -> bool:
        """True if this identity may not ask."""
        name = _name(identity)
        known = self._known.get(name)
        return name in self.tampered or (known is not None and known.blocked)

    def cooling(self, identity: str, digest: str) -> float:
        """Seconds until these bytes may ask again; 0 if they may."""
        name = _name(identity)
        when = self._known.get(name, Rejections(identity)).digests.get(digest)
        if when is None:
            return 0.0
        deadline = self._deadlines.get((name, digest))
        if deadline is not None:
            return max(0.0, deadline - self._clock.monotonic())
        left = when + COOLDOWN_SECONDS - self._clock.wall()
        return max(0.0, left)

    def reject(self, identity: str, digest: str) -> Rejections:
        """Count one more refusal. Blocking; raises what the store raises, and then nothing is counted."""
        name = _name(identity)
        known = self._known.get(name, Rejections(identity))
        digests = dict(list(known.digests.items())[-MAX_DIGESTS + 1 :]) | {digest: self._clock.wall()}
        count = known.count + 1
        blocked = known.blocked or count >= REJECTIONS_TO_BLOCK
        after = replace(known, count=count, blocked=blocked, digests=digests)
        self._store.write(name, rejections_to_json(after))
        self._known[name] = after
        for key in [key for key in self._deadlines if key[0] == name and key[1] not in digests]:
            del self._deadlines[key]
        self._deadlines[(name, digest)] = self._clock.monotonic() + COOLDOWN_SECONDS
        return after

    def clear(self, identity: str) -> bool:
        """Let an identity ask again, with nothing held against it. False if there was nothing. Blocking."""
        name = _name(identity)
        if name not in self._known and name not in self.tampered:
            return False
        self._store.delete(name)
        self._known.pop(name, None)
        self.tampered.pop(name, None)
        for key in [key for key in self._deadlines if key[0] == name]:
            del self._deadlines[key]
        return True


def _name(identity: str) -> str:
    """The file's name: case must not make another identity of it (AP-15)."""
    return sha256_hex(identity.casefold().encode("utf-8", "surrogatepass"))[:40]
