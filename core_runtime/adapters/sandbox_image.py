"""Which image packs run in: what the set-up of this checkout wrote down, else the newest good one of this engine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

STATE_FILE = "rumi-bootstrap.json"
FALL_BACK = "rumi-sandbox:current"


def sandbox_image(configured: str = "", prefix: Path | None = None) -> str:
    """An image reference: the owner's setting, the set-up's image id, or the tag of the newest good image."""
    if configured:
        return configured
    try:
        state = json.loads((Path(sys.prefix if prefix is None else prefix) / STATE_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return FALL_BACK
    image = state.get("image_id") if isinstance(state, dict) else None
    return image if isinstance(image, str) and image else FALL_BACK
