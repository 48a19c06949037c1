"""Whatever stops the set-up becomes one sentence and one command, on standard error, within 80 columns."""

import errno
import io

import pytest

from bootstrap_steps import engine_daemon, packages, venv
from bootstrap_steps.command import in_sentences
from bootstrap_steps.report import Reporter, SetupError, from_system


def ends_with(error: BaseException) -> tuple[int, str]:
    """The exit code and the text when a command ends with `error`."""
    stream = io.StringIO()

    def action() -> int:
        raise error

    return in_sentences(Reporter(stream), "setup", action), stream.getvalue()


def test_a_problem_is_a_sentence_and_a_mending_command_and_exit_code_1():
    code, text = ends_with(SetupError("Something that a person can read is the matter. " * 4, "do --this"))
    assert code == 1
    assert text.startswith("problem: Something")
    assert text.endswith("\n   mend: do --this\n")
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_whoever_meets_it(number: int):
    code, text = ends_with(OSError(number, "No space left on device", "/x/.venv/file"))
    assert code == 1
    assert "The disk is full" in text
    assert "Traceback" not in text
    assert "free some space, then: python3 bootstrap.py setup" in text


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_checkout_that_cannot_be_written_is_said(number: int):
    assert "may not write" in from_system(OSError(number, "Permission denied", "/x"), "run").sentence


def test_any_other_error_of_the_system_is_a_sentence_too():
    code, text = ends_with(OSError(errno.EIO, "Input/output error"))
    assert (code, "Input/output error" in text, "mend:" in text) == (1, True, True)


def test_ctrl_c_is_one_line_and_exit_code_130():
    code, text = ends_with(KeyboardInterrupt())
    assert code == 130
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("explain", "said", "sentence"),
    [
        (
            lambda text: packages.explain(text, "apt-get install x", "x"),
            "E: Could not resolve 'deb.invalid'",
            "cannot be reached",
        ),
        (
            lambda text: packages.explain(text, "apt-get install x", "x"),
            "write: No space left on device",
            "disk is full",
        ),
        (lambda text: packages.explain(text, "apt-get install x", "last"), "E: strange", "last"),
        (
            lambda text: venv.explain(text, "x", "pip"),
            "Failed to establish a new connection",
            "cannot reach a package index",
        ),
        (lambda text: venv.explain(text, "x", "pip"), "OSError: [Errno 28] No space left on device", "disk is full"),
        (
            lambda text: venv.explain(text, "x", "pip"),
            "THESE PACKAGES DO NOT MATCH THE HASHES",
            "not the one that the lock",
        ),
        (lambda text: venv.explain(text, "last", "pip"), "ERROR: strange", "last"),
        (
            lambda text: engine_daemon.explain(text, packages.LISTS),
            "write /var: no space left on device",
            "disk is full",
        ),
        (lambda text: engine_daemon.explain(text, packages.LISTS), "one\nthe last\n", "the last"),
    ],
)
def test_the_many_lines_of_a_tool_become_one_sentence(explain, said: str, sentence: str):
    error = explain(said)
    assert sentence in error.sentence
    assert error.mend


def test_progress_lines_fit_a_terminal_of_80_columns():
    stream = io.StringIO()
    with Reporter(stream).work("python", "a word " * 30):
        pass
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1].startswith("python  done in ")
