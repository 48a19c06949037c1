"""The last look before a container starts: is the sealed copy still what was approved?

It is asked for at every start, those after a crash and the first one of a lazy pack included, since the copy may have
lain there for weeks, and a start must never trust an earlier hash (CWE-367: swapped between check and use).
"""

from __future__ import annotations

from core_runtime.errors import ApprovalDenied
from core_runtime.kernel.ports import SealedSource
from core_runtime.sandbox.ports import PackLaunch


class ApprovedCopies:
    """The `SealedCopies` of the supervisor."""

    def __init__(self, source: SealedSource) -> None:
        self._source = source

    async def whole(self, launch: PackLaunch) -> None:
        """See `SealedCopies`."""
        pack_id = launch.descriptor.pack_id
        sealed = await self._source.sealed_for_start(pack_id)
        if (sealed.digest, sealed.root) != (launch.digest, launch.sealed_root):
            raise ApprovalDenied(
                f"Other bytes of {pack_id} were approved meanwhile.", hint="It is started with those in a moment."
            )
