"""What diagnostics should say about approval. Reads memory only."""

from __future__ import annotations

from core_runtime.approval.ledger import Ledger
from core_runtime.approval.model import Notice, PackState, PackStatus
from core_runtime.approval.records import TamperedRecord
from core_runtime.approval.rejections import RejectionBook
from core_runtime.approval.rules import identity_problem
from core_runtime.signing import KeyRing

_HINTS = {
    PackState.MODIFIED: ("warning", "PACK_MODIFIED", "rumi pack plan {0}"),
    PackState.INVALID: ("problem", "PACK_INVALID", "rumi pack show {0}"),
    PackState.DISABLED: ("warning", "PACK_DISABLED", "rumi pack enable {0}"),
}


def notices(keys: KeyRing, ledger: Ledger, rejections: RejectionBook) -> tuple[Notice, ...]:
    """The signing key, records that are not believed, and packs that do not run though somebody expects it."""
    found = []
    if keys.locked:
        found.append(
            Notice(
                "problem",
                "SIGNING_KEY_LOCKED",
                "kernel",
                f"The signing key cannot be believed: {keys.locked}. Every approval and grant is void until it can.",
                "Put permissions/.secret_key and instance.json back from a backup and restart, or approve anew.",
            )
        )
    for name, record in [*ledger.records.items(), *rejections.tampered.items()]:
        if isinstance(record, TamperedRecord):
            text = f"{record.file} cannot be believed: {record.explanation}. It counts for nothing."
            found.append(Notice("problem", "RECORD_TAMPERED", name, text, f"rumi pack plan {name}"))
    for pack_id in ledger.listed():
        found += _about(pack_id, ledger.status(pack_id), ledger)
    return tuple(found)


def _about(pack_id: str, status: PackStatus, ledger: Ledger) -> list[Notice]:
    if isinstance(ledger.records.get(pack_id), TamperedRecord):
        return []
    observed = ledger.observed.get(pack_id)
    record = ledger.record(pack_id)
    if observed and observed.descriptor:
        problem = identity_problem(record, observed.descriptor)
        if problem:
            return [Notice("problem", "PACK_IDENTITY", pack_id, problem, "Put the approved files back.")]
    if status.state in _HINTS:
        severity, code, hint = _HINTS[status.state]
        return [Notice(severity, code, pack_id, f"{pack_id}: {status.reason}", hint.format(pack_id))]
    if status.parent is not None and status.state is PackState.APPROVED:
        text = f"{pack_id} does not run: {status.parent} is not approved or does not consent to it."
        return [Notice("warning", "PACK_PARENT", pack_id, text, f"rumi pack plan {status.parent}")]
    return []
