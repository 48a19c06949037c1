"""The kernel's settings: environment, then `settings/kernel.yaml` of the profile, then defaults.

The only module that reads `os.environ`. A value knows where it came from (`Setting.source`), so that
`rumi status --settings` can say it. A bad value is refused with the name of the variable; it is never replaced by a
default in silence.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core_runtime.errors import ValidationFailed

PROJECT_ROOT = Path(__file__).resolve().parent.parent
PREFIX = "RUMI_"
MAX_SETTINGS_BYTES = 1_048_576
_OUTSIDE_PREFIX = {"DOCKER_HOST": "docker_host"}

Port = Annotated[int, Field(ge=0, le=65535)]


class KernelSettings(BaseModel):
    """Every setting of the kernel. The environment variable is `RUMI_` and the name in upper case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Literal["private", "shared"] = Field("private", description="Root folder of all state and policy preset.")
    user_data: Path = Field(PROJECT_ROOT / "user_data", description="Folder that holds the profiles.")
    ecosystem_dir: Path = Field(PROJECT_ROOT / "ecosystem", description="Folder that holds `packs/` and bundled.json.")
    security_mode: Literal["strict", "permissive"] = Field(
        "strict",
        description="`permissive` runs packs as child processes where no engine can be had; never in `shared`.",
    )
    api_bind: str = Field("127.0.0.1", description="Address of the admin API; loopback only.")
    api_port: Port = Field(8765, description="Port of the admin API; 0 takes a free one.")
    api_rate_per_minute: int = Field(
        120, ge=1, description="Requests a minute for each token; `admin.sock` has no limit."
    )
    gateway_bind: str = Field("127.0.0.1", description="Address of the gateway.")
    gateway_port: Port = Field(5000, description="Port of the gateway.")
    sandbox_runtime: str = Field(
        "", description="Runtime handed to the engine, for instance `runsc`; empty: its default."
    )
    sandbox_image: str = Field("", description="Image for packs; empty: the one that the set-up made.")
    uid_base: int = Field(0, ge=0, description="First uid for packs; 0: the first free range above /etc/subuid's.")
    extra_ca: Path | None = Field(None, description="PEM file added to the authorities that egress trusts.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["console", "json"] = Field("console", description="Form of the log on standard error.")
    max_concurrent_flows: int = Field(64, ge=1, le=1024, description="Flows that run at once; the rest queue.")
    docker_host: str = Field("", description="Engine address (variable `DOCKER_HOST`); empty: the local socket.")

    @property
    def profile_root(self) -> Path:
        """Where everything of this profile lives."""
        return self.user_data / self.profile


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective setting, for people: where its value came from."""

    name: str
    variable: str
    value: str
    source: Literal["environment", "file", "default"]
    description: str


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings and their sources."""

    values: KernelSettings
    explained: tuple[Setting, ...]


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return next((var for var, field in _OUTSIDE_PREFIX.items() if field == name), PREFIX + name.upper())


def load_settings(environ: Mapping[str, str] | None = None) -> LoadedSettings:
    """Read and merge. Raises `ValidationFailed` naming each bad variable or file key at once."""
    env = os.environ if environ is None else environ
    fields = KernelSettings.model_fields
    from_env = {name: env[variable_of(name)] for name in fields if env.get(variable_of(name))}
    if env.get("RUMI_PROFILE") == "":
        raise ValidationFailed("RUMI_PROFILE is empty.", hint="Set it to private or shared, or unset it.")
    where = _validated({key: from_env[key] for key in ("user_data", "profile") if key in from_env}, {}).profile_root
    from_file = _read_file(where / "settings" / "kernel.yaml")
    values = _validated(
        {**from_file, **from_env}, dict.fromkeys(from_file, "file") | dict.fromkeys(from_env, "environment")
    )
    if values.profile == "shared" and values.security_mode == "permissive":
        raise ValidationFailed(
            "RUMI_SECURITY_MODE=permissive is refused in the shared profile.",
            hint="Unset RUMI_SECURITY_MODE, or use RUMI_PROFILE=private.",
        )
    explained = tuple(
        Setting(
            name=name,
            variable=variable_of(name),
            value=str(getattr(values, name) if getattr(values, name) is not None else ""),
            source="environment" if name in from_env else "file" if name in from_file else "default",
            description=field.description or "",
        )
        for name, field in fields.items()
    )
    return LoadedSettings(values, explained)


def pack_setting_variable(pack_id: str, key: str) -> str:
    """The only host variable that a pack's setting is ever read from: `RUMI_PACK_<PACK_ID>_<KEY>`."""
    letters = str.maketrans({"-": "_", ".": "_"})
    return f"RUMI_PACK_{pack_id.upper().translate(letters)}_{key.upper().translate(letters)}"


def environment_value(variable: str, environ: Mapping[str, str] | None = None) -> str | None:
    """One environment variable, for those few places that take one by rule (pack settings, PATH of children)."""
    return (os.environ if environ is None else environ).get(variable)


def _validated(data: Mapping[str, object], sources: Mapping[str, str]) -> KernelSettings:
    try:
        return KernelSettings.model_validate(data)
    except ValidationError as error:
        lines = []
        for item in error.errors(include_url=False, include_input=False):
            name = str(item["loc"][0]) if item["loc"] else "?"
            label = variable_of(name) if sources.get(name) != "file" else f"settings/kernel.yaml: {name}"
            lines.append(f"{label}: {item['msg']}")
        raise ValidationFailed("; ".join(lines), hint="rumi status --settings lists every setting.") from None


def _read_file(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SETTINGS_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ValidationFailed(f"settings/kernel.yaml cannot be read: {error.strerror}") from None
    if len(raw) > MAX_SETTINGS_BYTES:
        raise ValidationFailed("settings/kernel.yaml is larger than 1 MiB.")
    try:
        data = yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader either way
    except yaml.YAMLError as error:
        raise ValidationFailed(f"settings/kernel.yaml is not YAML: {str(error).splitlines()[0]}") from None
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise ValidationFailed("settings/kernel.yaml must be a mapping of setting names.")
    reserved = {"profile", "user_data"} & set(data)
    if reserved:
        raise ValidationFailed(f"settings/kernel.yaml cannot set {', '.join(sorted(reserved))}: it lies below them.")
    return data
