"""The doctor's checks of the profile, listed explicitly. They work without a kernel and change nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from core_runtime.diagnostics.model import Check
from core_runtime.diagnostics.profile.audit_trail import AuditTrailWhole
from core_runtime.diagnostics.profile.disk_space import DiskSpace
from core_runtime.diagnostics.profile.folder_access import FolderAccess
from core_runtime.diagnostics.profile.security_mode import SecurityModeStrict


def profile_checks(
    root: Path, *, security_mode: str, verify: Callable[[Path], Mapping[str, object]]
) -> tuple[Check, ...]:
    """Every check of the profile in `root`; `verify` checks an audit folder."""
    return (
        SecurityModeStrict(security_mode),
        FolderAccess(root),
        DiskSpace(root),
        AuditTrailWhole(root / "audit", verify),
    )
