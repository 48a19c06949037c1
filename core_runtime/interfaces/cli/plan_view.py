"""The plan of a pack as an owner reads it before he says yes: pure, from the kernel's JSON to styled lines.

This is the page on which everything is decided, so nothing of it is hidden: long lines are wrapped, never cut, a file's
diff that is shortened says by how much, and whatever the plan holds beyond the known parts is listed too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from core_runtime.clock import iso
from core_runtime.interfaces.cli.screen import Line
from core_runtime.interfaces.cli.terminal_text import clean, clean_lines, pad, safe_json, wrap
from core_runtime.interfaces.cli.words import translate

Object = Mapping[str, object]

DIFF_LINES = 12
MAX_FILES = 40
LANGUAGE_KEYS = frozenset({"en", "ja"})
_MARKS = {"added": ("+", "add"), "changed": ("~", "change"), "removed": ("-", "remove")}
_ORDER = {"critical": 0, "high": 1, "medium": 2, "low": 3}
_LABELS = {"low": "low", "medium": "medium", "high": "HIGH", "critical": "CRITICAL"}
_SHOWN = frozenset(
    ("pack_id", "identity", "version", "signer", "state", "digest", "plan_hash", "files", "permissions", "rating")
) | {"approved_version", "rating_reasons", "previous_digest", "warnings", "description", "new_permissions"}


@dataclass(frozen=True, slots=True)
class PlanView:
    """How a plan is drawn: language, columns, and whether diffs are shown whole."""

    language: str = "en"
    width: int = 80
    full: bool = False

    def render(self, plan: Object) -> list[Line]:
        """All lines."""
        parts = (
            self._header(plan),
            self._warnings(plan),
            self._files(_objects(plan.get("files"))),
            self._permissions(_objects(plan.get("permissions"))),
            self._rating(plan),
            self._rest(plan),
        )
        lines: list[Line] = []
        for part in parts:
            lines += [*part, _EMPTY] if part else []
        return lines

    def approve_command(self, plan: Object) -> list[Line]:
        """The command that approves exactly this plan, ready to paste, within 80 columns."""
        return [
            [(self._t("To approve exactly this:"), "")],
            [(f"  rumi pack approve {clean(plan.get('pack_id'))} \\", "head")],
            [(f"      --plan {clean(plan.get('plan_hash'))}", "head")],
        ]

    def _t(self, text: str, **values: object) -> str:
        return translate(text, self.language).format(**values)

    def _text(self, value: object) -> str:
        """A text of the pack: plain, or by language."""
        if isinstance(value, Mapping):
            value = value.get(self.language) or value.get("en") or next(iter(value.values()), "")
        return clean(value or "")

    def _wrapped(self, text: str, indent: int, style: str = "") -> list[Line]:
        return [[(" " * indent + line, style)] for line in wrap(text, self.width - indent)]

    def _header(self, plan: Object) -> list[Line]:
        title = f"{clean(plan.get('pack_id'))} {clean(plan.get('version') or '')}".strip()
        signer = plan.get("signer")
        rows = [
            ("Identity", clean(plan.get("identity") or "-")),
            ("Signed by", clean(signer) if signer else self._t("nobody")),
            ("Approved", clean(plan.get("approved_version") or self._t("never"))),
            ("Digest", clean(plan.get("digest") or "-")),
        ]
        lines: list[Line] = [[(line, "head")] for line in wrap(title, self.width)]
        lines += self._wrapped(self._text(plan.get("description")), 0) if plan.get("description") else []
        for label, value in rows:
            first, *more = wrap(value, self.width - 14)
            lines.append([(pad(self._t(label), 14), "dim"), (first, "")])
            lines += [[(" " * 14 + line, "")] for line in more]
        return lines

    def _warnings(self, plan: Object) -> list[Line]:
        lines: list[Line] = []
        for warning in _list(plan.get("warnings")):
            lines += self._wrapped("! " + self._text(warning), 0, "bad")
        return lines

    def _files(self, files: Sequence[Object]) -> list[Line]:
        changed = [file for file in files if str(file.get("change")) in _MARKS]
        if not changed:
            return [[(self._t("Files"), "head"), ("  " + self._t("no change"), "dim")]]
        counts = [f"{sum(f.get('change') == kind for f in changed)} {self._t(kind)}" for kind in _MARKS]
        lines: list[Line] = [[(self._t("Files"), "head"), ("  " + ", ".join(counts), "dim")]]
        shown = changed if self.full else changed[:MAX_FILES]
        for file in shown:
            mark, style = _MARKS[str(file.get("change"))]
            lines += self._wrapped(f"{mark} {clean(file.get('path'))}{self._file_facts(file)}", 2, style)
            if self.full or file.get("change") == "changed":
                lines += self._diff(file)
        if len(shown) < len(changed):
            lines += self._wrapped(self._t("... {count} more files: --full", count=len(changed) - len(shown)), 2, "dim")
        return lines

    def _file_facts(self, file: Object) -> str:
        size = f"  {file['size']} B" if isinstance(file.get("size"), int) else ""
        return size + (f"  {self._t('program')}" if file.get("executable") else "")

    def _diff(self, file: Object) -> list[Line]:
        diff = file.get("diff")
        if not isinstance(diff, str) or not diff:
            return self._wrapped(f"({self._text(file['omitted'])})", 6, "dim") if file.get("omitted") else []
        source = clean_lines(diff.rstrip("\n"))
        shown = source if self.full else source[:DIFF_LINES]
        lines: list[Line] = []
        for text in shown:
            style = {"+": "add", "-": "remove"}.get(text[:1], "dim")
            lines += self._wrapped(text, 6, style)
        if len(shown) < len(source):
            lines += self._wrapped(self._t("... {count} more lines: --full", count=len(source) - len(shown)), 6, "dim")
        return lines

    def _permissions(self, permissions: Sequence[Object]) -> list[Line]:
        if not permissions:
            return [[(self._t("Permissions"), "head"), ("  " + self._t("it asks for nothing"), "good")]]
        lines: list[Line] = [[(self._t("Permissions"), "head")]]
        for item in sorted(permissions, key=lambda entry: _ORDER.get(str(entry.get("risk")), 0)):
            lines += self._permission(item)
        return lines

    def _permission(self, item: Object) -> list[Line]:
        risk = str(item.get("risk"))
        label = self._t(_LABELS.get(risk, "HIGH"))
        name = item.get("permission") or item.get("type")
        first, *more = wrap(self._text(item.get("sentence")) or clean(name), self.width - 12)
        facts = [clean(name), self._t("optional" if item.get("optional") else "required")]
        facts += [self._t("in the background too")] if item.get("background") else []
        facts += [self._t(_CHANGES[str(item["change"])])] if item.get("change") in _CHANGES else []
        gone = item.get("change") == "gone"
        lines: list[Line] = [[("  " + pad(label, 10), "dim" if gone else _style_of(risk)), (first, "")]]
        lines += [[(" " * 12 + line, "")] for line in more]
        lines += self._wrapped(" · ".join(facts), 12, "dim")
        if item.get("config"):
            lines += self._wrapped(safe_json(item["config"]), 12, "dim")
        if item.get("reason"):
            lines += self._wrapped(self._t("it says:") + f' "{self._text(item["reason"])}"', 12)
        return lines

    def _rating(self, plan: Object) -> list[Line]:
        rating, reasons = plan.get("rating"), _list(plan.get("rating_reasons"))
        if isinstance(rating, Mapping):
            reasons = reasons or _list(rating.get("reasons"))
            rating = rating.get("score", rating.get("value"))
        if not isinstance(rating, int):
            return []
        style = "good" if rating >= 7 else "warn" if rating >= 4 else "bad"
        head = self._t("{rating} of 8", rating=rating)
        lines: list[Line] = [
            [(self._t("Rating"), "head"), (f"  {head}  ", style), ("#" * rating + "." * (8 - rating), style)]
        ]
        for reason in reasons:
            lines += self._wrapped("-1  " + self._text(reason), 2)
        return lines

    def _rest(self, plan: Object) -> list[Line]:
        lines: list[Line] = []
        for key, value in plan.items():
            if key in _SHOWN or value in _NOTHING:
                continue
            items = [self._flat(item) for item in (value if isinstance(value, list) else [value])]
            if not any(items):
                continue
            lines.append([(self._t(clean(key).replace("_", " ")).capitalize(), "head")])
            for text in items:
                lines += self._wrapped(text, 2)
        return lines

    def _flat(self, value: object) -> str:
        """Any JSON value in one line: objects as `key value, ...` without what is empty."""
        if isinstance(value, Mapping):
            if set(value) <= LANGUAGE_KEYS:
                return self._text(value)
            shown = {key: _moment(key, item) for key, item in value.items() if item not in _NOTHING}
            pairs = ((key, self._flat(item)) for key, item in shown.items())
            return ", ".join(f"{self._t(clean(key).replace('_', ' '))} {text}" for key, text in pairs)
        if isinstance(value, list):
            return "[" + ", ".join(self._flat(item) for item in value) + "]"
        return clean(value) if isinstance(value, str) else safe_json(value)


def _moment(key: object, value: object) -> object:
    """A time as people read it: `granted_at` and the like are Unix seconds."""
    if str(key).endswith("_at") and isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return iso(value)
    return value


_CHANGES: Mapping[object, str] = {
    "new": "NEW",
    "wider": "WIDER than before",
    "narrower": "narrower than before",
    "same": "as before",
    "gone": "no longer wanted",
}
_NOTHING: tuple[object, ...] = (None, [], {}, "", False)
_EMPTY: Line = [("", "")]


def _style_of(risk: str) -> str:
    return risk if risk in _ORDER else "high"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _objects(value: object) -> list[Object]:
    return [cast("Object", item) for item in _list(value) if isinstance(item, Mapping)]
