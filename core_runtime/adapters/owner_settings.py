"""What the owner set for packs: `settings/packs.yaml` of the profile, and the variables that are a pack's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from core_runtime.errors import ValidationFailed
from core_runtime.settings import environment_value

MAX_BYTES = 1_048_576
FILE = "settings/packs.yaml"


class ProfileSettings:
    """The `OwnerSettings` of one profile. The file is read at each start of a pack, so that a change needs no more."""

    def __init__(self, profile_root: Path) -> None:
        self._path = profile_root / "settings" / "packs.yaml"

    def pack_values(self, pack_id: str) -> Mapping[str, object]:
        """See `OwnerSettings`."""
        found = self._document().get(pack_id, {})
        if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
            raise ValidationFailed(f"{FILE}: {pack_id} must be a mapping of setting names.")
        return found

    def variable(self, name: str) -> str | None:
        """See `OwnerSettings`."""
        return environment_value(name)

    def _document(self) -> dict[str, object]:
        try:
            with self._path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ValidationFailed(f"{FILE} cannot be read: {error.strerror}.") from None
        if len(raw) > MAX_BYTES:
            raise ValidationFailed(f"{FILE} is larger than 1 MiB.")
        try:
            data = yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader
        except yaml.YAMLError as error:
            raise ValidationFailed(f"{FILE} is not YAML: {str(error).splitlines()[0]}") from None
        if data is None:
            return {}
        if not isinstance(data, dict):
            raise ValidationFailed(f"{FILE} must be a mapping of pack ids.")
        return data
