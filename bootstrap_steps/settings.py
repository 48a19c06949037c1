"""The one place where the set-up reads the process's environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

API_PORT = 8765


@dataclass(frozen=True, slots=True)
class Listener:
    """An address that the kernel will bind, and the setting that moves it elsewhere."""

    name: str
    bind: str
    port: int
    setting: str


def read_environment() -> dict[str, str]:
    """A copy of the environment: nothing after this looks at the process again."""
    return dict(os.environ)


def listeners(environment: Mapping[str, str]) -> list[Listener]:
    """What this version listens on, as the environment sets it; a value that is no number is the kernel's to refuse."""
    return [_listener(environment, "API", API_PORT)]


def _listener(environment: Mapping[str, str], name: str, default: int) -> Listener:
    text = environment.get(f"RUMI_{name}_PORT", "")
    port = int(text) if text.isdecimal() else default
    return Listener(name.lower(), environment.get(f"RUMI_{name}_BIND") or "127.0.0.1", port, f"RUMI_{name}_PORT")


def is_permissive(environment: Mapping[str, str]) -> bool:
    """Whether the owner said that packs may run as child processes where no engine can be had (never the default)."""
    return environment.get("RUMI_SECURITY_MODE") == "permissive"


def kernel_settings_file(root: Path, environment: Mapping[str, str]) -> Path:
    """Where an owner's own kernel settings lie, which may move the ports as well."""
    return user_data(root, environment) / (environment.get("RUMI_PROFILE") or "private") / "settings" / "kernel.yaml"


def user_data(root: Path, environment: Mapping[str, str]) -> Path:
    """The folder with everything that belongs to the owner: the set-up never writes there and never removes it."""
    return Path(environment.get("RUMI_USER_DATA") or root / "user_data")
