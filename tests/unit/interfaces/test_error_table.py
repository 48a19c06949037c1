"""One table for HTTP statuses and exit codes."""

import pytest

from core_runtime.errors import ApprovalDenied, ErrorCode, error_classes
from core_runtime.interfaces.error_table import ExitCode, documented_codes, exit_code, http_status


def test_every_code_has_a_status_and_an_exit_code():
    assert {code for code, _, _ in documented_codes()} == set(ErrorCode)
    assert all(400 <= status < 600 and ends in set(ExitCode) - {0, 6} for _, status, ends in documented_codes())


@pytest.mark.parametrize(
    ("code", "status", "ends"),
    [
        ("GRANT_DENIED", 403, 3),
        ("TRUST_DENIED", 403, 3),
        ("POLICY_DENIED", 403, 3),
        ("CONFIRMATION_DENIED", 403, 3),
        ("APPROVAL_DENIED", 403, 5),
        ("CONFIRMATION_REQUIRED", 409, 5),
        ("NOT_FOUND", 404, 4),
        ("VALIDATION_ERROR", 400, 2),
        ("CONFLICT", 409, 1),
        ("TOO_LARGE", 413, 1),
        ("RATE_LIMITED", 429, 1),
        ("UNAVAILABLE", 503, 1),
        ("TIMEOUT", 504, 1),
        ("STORAGE_FULL", 507, 1),
    ],
)
def test_the_table_says_what_the_page_says(code, status, ends):
    error = error_classes()[ErrorCode(code)]("x")
    assert (http_status(error.code), exit_code(error)) == (status, ends)


@pytest.mark.parametrize(
    ("state", "ends"),
    [("pending", 5), ("modified", 5), ("rejected", 5), ("blocked", 3), ("invalid", 3), ("disabled", 3)],
)
def test_exit_code_5_stands_where_approving_the_pack_would_help(state, ends):
    assert exit_code(ApprovalDenied("x", details={"state": state})) == ends
