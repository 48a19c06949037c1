"""Operations that count, fail or end at the n-th call, and a folder to try them on."""

from __future__ import annotations

import errno
import os

import pytest

from core_runtime.adapters.files import SystemOperations


class KilledError(BaseException):
    """The process ended here: nothing after it happens on the disk."""


class ScriptedOperations(SystemOperations):
    """The n-th changing call fails with `error`, or ends the process (and every later call with it)."""

    NAMES = ("open", "write", "chmod", "fsync", "mkdir", "rename", "link", "unlink", "rmdir")

    def __init__(self, at: int = 0, error: int | None = None, only: frozenset[str] = frozenset()) -> None:
        self.at = at
        self.error = error
        self.only = only
        self.count = 0
        self.log: list[str] = []

    def __getattribute__(self, name):
        found = object.__getattribute__(self, name)
        if name not in ScriptedOperations.NAMES or (self.only and name not in self.only):
            return found

        def call(*args):
            self.count += 1
            self.log.append(name)
            if self.at and self.error is None and self.count >= self.at:
                if name == "write" and self.count == self.at:
                    os.write(args[0], bytes(args[1])[: len(args[1]) // 2])  # a torn write
                raise KilledError
            if self.at and self.error is not None and self.count == self.at:
                raise OSError(self.error, os.strerror(self.error))
            return found(*args)

        return call


@pytest.fixture
def scripted():
    return ScriptedOperations


@pytest.fixture
def killed():
    return KilledError


@pytest.fixture
def no_space():
    return errno.ENOSPC
