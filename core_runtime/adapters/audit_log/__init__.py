"""The audit log: a hash chain in daily files. The package is one adapter; its parts are not used from outside."""

from core_runtime.adapters.audit_log.log import AuditLog
from core_runtime.adapters.audit_log.reading import Filter, query, tail, verify
from core_runtime.adapters.audit_log.searching import AuditFiles

__all__ = ["AuditFiles", "AuditLog", "Filter", "query", "tail", "verify"]
