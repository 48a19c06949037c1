"""Diagnostics say what is wrong now, once each."""

from core_runtime.kernel.diagnostics import Diagnostic, DiagnosticsBook, Severity


def entry(subject: str, code: str, severity: Severity = Severity.PROBLEM, text: str = "x") -> Diagnostic:
    return Diagnostic(severity, code, subject, text)


def test_a_repeated_trouble_is_one_entry_and_a_mended_one_goes():
    book = DiagnosticsBook()
    book.put(entry("pack:a", "invalid", text="one"))
    book.put(entry("pack:a", "invalid", text="two"))
    assert [item.message for item in book.all()] == ["two"]
    book.clear("pack:a")
    assert book.all() == ()
    assert book.worst is None


def test_the_worst_comes_first():
    book = DiagnosticsBook()
    book.put(entry("b", "x", Severity.INFO))
    book.put(entry("a", "y", Severity.PROBLEM))
    book.put(entry("c", "z", Severity.WARNING))
    assert [item.subject for item in book.all()] == ["a", "c", "b"]
    assert book.worst is Severity.PROBLEM


def test_clearing_some_codes_keeps_the_others():
    book = DiagnosticsBook()
    book.put(entry("a", "x"))
    book.put(entry("a", "y"))
    book.clear("a", ["x"])
    assert [item.code for item in book.all()] == ["y"]


def test_a_flood_cannot_fill_it():
    book = DiagnosticsBook()
    for number in range(1500):
        book.put(entry(f"s{number}", "x"))
    assert len(book.all()) == 1000
