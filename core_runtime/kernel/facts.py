"""The facts that `decide` judges by, gathered from approvals and manifests.

Rights only narrow on the way down: the host's ceiling, then for each parent its consent (`children` in its sealed
manifest) and its own grant, then the pack's grant. A parent that does not name the child, or not this permission,
leaves nothing.
"""

from __future__ import annotations

from itertools import pairwise

from core_runtime.approval.model import PackState
from core_runtime.authority import HOST, Grant
from core_runtime.capability.model import GrantLevel
from core_runtime.capability.policy import ActorPolicy
from core_runtime.capability.ports import PrincipalFacts
from core_runtime.ids import ancestors
from core_runtime.kernel.ports import Standings

_UNLIMITED = GrantLevel(HOST.id, admits_all=True)


class ApprovalFacts:
    """The `FactSource` of the broker. `moved()` is called at every change of approvals, grants or policy."""

    def __init__(self, standings: Standings, policy: ActorPolicy) -> None:
        self._standings = standings
        self._policy = policy
        self._generation = 0

    def moved(self) -> None:
        """Something changed: what was cached is void."""
        self._generation += 1

    def generation(self) -> int:
        """See `FactSource`."""
        return self._generation

    def policy(self) -> ActorPolicy:
        """See `FactSource`."""
        return self._policy

    def facts(self, principal_id: str, permission: str) -> PrincipalFacts:
        """See `FactSource`."""
        if principal_id == HOST.id:
            return PrincipalFacts(approved=True, levels=(_UNLIMITED,), generation=self._generation)
        state = self._standings.state(principal_id).state
        descriptor = self._standings.ceiling(principal_id)
        parents = ancestors(principal_id)
        chain = (*parents, principal_id)
        return PrincipalFacts(
            approved=state is PackState.APPROVED,
            reason=state.value,
            parents=tuple((parent, self._approved(parent)) for parent in parents),
            declared=descriptor.declared(permission) if descriptor else None,
            levels=(
                _UNLIMITED,
                *(self._parent_level(parent, child, permission) for parent, child in pairwise(chain)),
                GrantLevel(principal_id, grant=self._grant(principal_id, permission)),
            ),
            generation=self._generation,
        )

    def _approved(self, pack_id: str) -> bool:
        return self._standings.state(pack_id).state is PackState.APPROVED

    def _parent_level(self, parent: str, child: str, permission: str) -> GrantLevel:
        descriptor = self._standings.ceiling(parent)
        consent = descriptor.children.get(child) if descriptor else None
        lines = consent.permissions if consent else ()
        config = next((line.config for line in lines if line.permission == permission), None)
        if config is None:
            return GrantLevel(parent)
        return GrantLevel(parent, grant=self._grant(parent, permission), config=config)

    def _grant(self, pack_id: str, permission: str) -> Grant | None:
        return self._standings.grants_of(pack_id).get(permission)
