"""The page on which an owner decides."""

import pytest

from core_runtime.interfaces.cli.plan_view import DIFF_LINES, MAX_FILES, PlanView
from core_runtime.interfaces.cli.terminal_text import width_of


def permission(**changes):
    return {
        "permission": "store.get",
        "risk": "low",
        "sentence": {"en": "Reads its store", "ja": "自分のストアを読みます"},
        "reason": "because",
        "optional": False,
        "background": False,
        "change": "new",
        "config": {"stores": ["notes"]},
    } | changes


def plan(**changes):
    return {
        "pack_id": "notes",
        "identity": "github:a/notes",
        "version": "1.0.0",
        "signer": None,
        "digest": "ab" * 32,
        "plan_hash": "cd" * 32,
        "files": [],
        "permissions": [permission()],
        "rating": 5,
        "rating_reasons": [{"en": "It talks", "ja": "通信します"}],
    } | changes


def text(value, language="en", **options):
    view = PlanView(language, **options)
    return ["".join(part for part, _ in line) for line in view.render(value)]


def shown(value, **options):
    return "\n".join(text(value, **options))


def test_the_worst_permission_comes_first_and_carries_the_style_of_its_risk():
    rows = [
        permission(permission=f"p.{risk}", risk=risk, sentence=f"does {risk}")
        for risk in ("low", "critical", "medium", "high")
    ]
    lines = PlanView().render(plan(permissions=rows))
    found = [(line[0][0].strip(), line[0][1]) for line in lines if "does " in line[-1][0]]
    assert found == [("CRITICAL", "critical"), ("HIGH", "high"), ("medium", "medium"), ("low", "low")]


def test_a_risk_that_is_not_known_is_shown_as_the_worst():
    lines = PlanView().render(plan(permissions=[permission(risk="harmless"), permission()]))
    first = next(line for line in lines if "Reads its store" in line[-1][0])
    assert (first[0][0].strip(), first[0][1]) == ("HIGH", "high")


def test_files_are_marked_and_counted_and_only_changes_show_their_text():
    files = [
        {"path": "a.py", "change": "added", "size": 1, "diff": "+secret", "executable": True},
        {"path": "b.py", "change": "changed", "size": 2, "diff": "\n".join(f"+{n}" for n in range(DIFF_LINES + 3))},
        {"path": "c.py", "change": "removed", "size": 3, "diff": "-gone"},
        {"path": "d.bin", "change": "changed", "size": 4, "diff": None, "omitted": "not text"},
        {"path": "e.py", "change": "same"},
    ]
    page = shown(plan(files=files))
    assert "1 added, 2 changed, 1 removed" in page
    assert "+ a.py  1 B  program" in page
    assert "- c.py" in page
    assert "... 3 more lines: --full" in page
    assert "(not text)" in page
    assert "secret" not in page
    assert "+secret" in shown(plan(files=files), full=True)
    assert "more lines" not in shown(plan(files=files), full=True)


def test_many_files_are_counted_and_never_left_out_in_silence():
    files = [{"path": f"f{n}", "change": "added", "size": 1} for n in range(MAX_FILES + 7)]
    assert "... 7 more files: --full" in shown(plan(files=files))


def test_the_rating_has_a_sentence_for_each_point_lost_and_also_reads_as_an_object():
    assert "5 of 8" in shown(plan())
    assert "-1  It talks" in shown(plan())
    assert "3 of 8" in shown(plan(rating={"score": 3, "reasons": ["x"]}, rating_reasons=None))


def test_a_pack_that_asks_for_nothing_says_so():
    assert "it asks for nothing" in shown(plan(permissions=[]))


def test_everything_else_in_a_plan_is_shown_too():
    page = shown(
        plan(
            called=[{"interface": "x.y", "provider": "p", "provider_permissions": ["http.request"]}],
            surprise={"a": 1},
            empty=[],
        )
    )
    assert "interface x.y, provider p, provider permissions [http.request]" in page
    assert "Surprise" in page
    assert "Empty" not in page


def test_warnings_stand_above_the_rest():
    lines = text(plan(warnings=[{"en": "Older than before", "ja": "以前より古い"}]))
    assert lines.index("! Older than before") < lines.index("Permissions")


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_is_wider_than_the_terminal_and_no_text_acts_on_it(language, width):
    evil = "x\x1b[2J\u202e" * 40 + "長い" * 60
    page = plan(
        pack_id="p" * 64,
        version=evil,
        identity=evil,
        files=[{"path": evil, "change": "changed", "size": 1, "diff": f"+{evil}\n-{evil}"}],
        permissions=[permission(sentence=evil, reason={"en": evil}, config={evil: evil}, permission=evil)],
        rating_reasons=[evil],
        interfaces=[evil, {evil: evil}],
        warnings=[evil],
    )
    lines = text(page, language, width=width)
    assert all(width_of(line) <= max(width, 78) for line in lines)
    assert all("\x1b" not in line and "\u202e" not in line for line in lines)


def test_the_command_to_paste_fits_into_80_columns_and_holds_the_whole_hash():
    lines = ["".join(part for part, _ in line) for line in PlanView().approve_command(plan(pack_id="p" * 50))]
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].endswith("\\")
    assert f"--plan {'cd' * 32}" in lines[2]


@pytest.mark.parametrize(
    "damaged", [{}, {"files": 1, "permissions": "x", "rating": None}, {"permissions": [1, None]}, {"files": [{}]}]
)
def test_a_plan_of_another_form_is_drawn_as_far_as_it_goes(damaged):
    PlanView().render(damaged)
