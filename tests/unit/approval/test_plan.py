"""What a plan shows: files, permissions and what changed of them, others, rating; and that it cannot act on who reads it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from core_runtime.approval.approving import Order
from core_runtime.approval.diff import unified, visible
from core_runtime.approval.rating import rate
from core_runtime.approval.sentences import _TEXTS, LANGUAGES, sentence
from core_runtime.packs import DeclaredPermission, PackDescriptor, RouteDecl, SandboxRequest, Text

GET = {"type": "store.get", "names": ["a", "b"]}


async def plan_of(world):
    return (await world.service.plan("notes")).content


async def test_a_first_plan_lists_every_file_as_added_with_its_text(world):
    world.pack(permissions=[GET])
    await world.service.start()
    plan = await plan_of(world)
    assert {f["change"] for f in plan["files"]} == {"added"}
    setup = next(f for f in plan["files"] if f["path"].endswith("setup.py"))
    assert "+def run(context):" in setup["diff"].split("\n")
    assert set(plan) >= {
        "pack_id",
        "digest",
        "plan_hash",
        "files",
        "permissions",
        "rating",
        "interfaces",
        "routes",
        "flows",
        "calls",
        "warnings",
    }


async def test_an_update_shows_what_was_added_changed_and_removed(world):
    root = world.pack()
    (root / "old.txt").write_text("gone\n")
    (root / "blob.bin").write_bytes(b"\0\1")
    await world.service.start()
    await world.service.approve(Order("notes"))
    assert (await plan_of(world))["files"] == []
    (root / "old.txt").unlink()
    (root / "new.txt").write_text("fresh\n")
    (root / "blob.bin").write_bytes(b"\0\2")
    (root / "backend/components/main/setup.py").write_text("def run(context):\n    evil()\n")
    files = {f["path"]: f for f in (await plan_of(world))["files"]}
    assert {path: f["change"] for path, f in files.items()} == {
        "backend/components/main/setup.py": "changed",
        "blob.bin": "changed",
        "new.txt": "added",
        "old.txt": "removed",
    }
    assert files["backend/components/main/setup.py"]["diff"].split("\n")[1:] == [
        " def run(context):",
        "-    pass",
        "+    evil()",
        " ",
    ]
    assert files["blob.bin"]["diff"] is None
    assert files["blob.bin"]["omitted"] == "not text"
    assert "-gone" in files["old.txt"]["diff"]


@pytest.mark.parametrize(
    ("after", "change"),
    [
        ([GET], "same"),
        ([{**GET, "names": ["a"]}], "narrower"),
        ([{**GET, "names": ["a", "b", "c"]}], "wider"),
        ([{**GET, "names": ["*"]}], "wider"),
        ([{**GET, "background": True}], "wider"),
        ([{**GET, "names": ["a"], "background": True}], "wider"),
        ([], "gone"),
        ([GET, {"type": "store.set", "names": []}], "new"),
    ],
)
async def test_each_permission_says_how_it_changed(world, after, change):
    world.pack(permissions=[GET])
    await world.service.start()
    await world.service.approve(Order("notes"))
    root = world.pack(permissions=after, version="1.1.0")
    if not after:
        (root / "backend/permissions.json").unlink()
    rows = (await plan_of(world))["permissions"]
    assert rows[-1]["change"] == change
    assert set(rows[-1]["sentence"]) == set(LANGUAGES)
    assert rows[-1]["risk"] in {"low", "medium"}


async def test_interfaces_of_others_are_shown_with_what_their_packs_may_do(world):
    world.pack("clock", pack_identity="github:x/clock", x_provides=["clock.now", "other.thing"], permissions=[GET])
    world.pack(permissions=[{"type": "interface.call", "interfaces": ["clock.*"]}])
    await world.service.start()
    await world.service.approve(Order("clock"))
    plan = await plan_of(world)
    assert plan["called"] == [
        {"interface": "clock.now", "provider": "clock", "risk": None, "provider_permissions": ["store.get"]}
    ]


async def test_bx_07_the_plan_says_what_callers_of_one_pack_share(world):
    world.pack(x_provides=["notes.add"])
    await world.service.start()
    notes = (await plan_of(world))["notes"]
    assert "another's call" in notes[0]["en"]
    assert notes[0]["ja"]


async def test_words_and_files_of_an_author_cannot_act_on_a_terminal(world):
    root = world.pack(permissions=[{**GET, "reason": "\x1b[2Jfine\u202e"}])
    (root / "trojan.py").write_text("a = '\x1b]0;x\x07'  # \u202e\u2066 }if\r\n")
    await world.service.start()
    plan = await plan_of(world)
    text = repr(plan["permissions"][0]["reason"]) + str(plan["files"])
    assert not set(text) & {"\x1b", "\x07", "\u202e", "\u2066", "\r"}
    assert "\\\\u202e" in text or "\\u202e" in text


def test_tabs_and_other_scripts_stay_readable():
    assert visible("\tこんにちは é") == "\tこんにちは é"
    assert visible("a\u200bb\x00") == "a\\u200bb\\x00"


async def test_large_texts_are_left_out_and_said_so(world):
    root = world.pack()
    (root / "big.txt").write_text("x\n" * 40_000)
    for number in range(6):
        (root / f"part{number}.txt").write_text("y" * 60_000)
    await world.service.start()
    files = {f["path"]: f for f in (await plan_of(world))["files"]}
    assert "larger" in files["big.txt"]["omitted"]
    assert files["part5.txt"]["omitted"] == "the plan's limit for text is reached"
    assert sum(len(f["diff"] or "") for f in files.values()) <= 262_144


def test_a_diff_of_hostile_texts_ends_soon():
    old = [str(n % 3) for n in range(20_000)]
    new = [str(n % 5) for n in range(20_000)]
    started = time.monotonic()
    assert len(unified(old, new)) > 10
    small_old, small_new = ["a", "b"] * 240, ["b", "a"] * 250
    unified(small_old, small_new)
    assert time.monotonic() - started < 2


def test_a_diff_applies_line_by_line():
    assert unified(["a", "b", "c"], ["a", "x", "c"]) == ["@@ -1,3 +1,3 @@", " a", "-b", "+x", " c"]
    assert unified([], ["a"]) == ["@@ -0,0 +1 @@", "+a"]
    block = unified(["same", *map(str, range(600)), "end"], ["same", *(f"n{n}" for n in range(600)), "end"])
    assert block[0] == "@@ -2,600 +2,600 @@"
    assert block[1] == "-0"
    assert block[-1] == "+n599"


def descriptor(**fields) -> PackDescriptor:
    return PackDescriptor("p", "i", "1.0.0", Path("/nowhere"), **fields)


def asks(*names: str, **config: object) -> tuple[DeclaredPermission, ...]:
    return tuple(DeclaredPermission(name, config, Text({"en": "x"})) for name in names)


@pytest.mark.parametrize(
    ("pack", "value"),
    [
        pytest.param(descriptor(signer="k"), 8, id="signed-and-modest"),
        pytest.param(descriptor(), 7, id="unsigned"),
        pytest.param(descriptor(permissions=asks("store.get")), 7, id="low"),
        pytest.param(descriptor(permissions=asks("fs.read")), 6, id="high"),
        pytest.param(descriptor(permissions=asks("fs.read", "process.run")), 5, id="high-and-critical"),
        pytest.param(descriptor(permissions=asks("store.get", names=["*"])), 6, id="everything"),
        pytest.param(descriptor(ingress=(RouteDecl("/", "http", "public"),)), 6, id="open-door"),
        pytest.param(descriptor(sandbox=SandboxRequest(cpus=2)), 6, id="resources"),
        pytest.param(
            descriptor(
                permissions=(
                    *asks("fs.read", "process.run", "http.request", "interface.call", interfaces=["*"]),
                    DeclaredPermission("store.get", {}, Text({"en": "x"}), background=True),
                ),
                ingress=(RouteDecl("/", "http", "public"),),
                sandbox=SandboxRequest(shm=True),
                modifier_files=("m",),
            ),
            1,
            id="all-of-it",
        ),
    ],
)
def test_the_rating_loses_one_point_for_each_sentence(pack, value, world):
    rating = rate(pack, world.parts.book)
    assert rating.value == value == 8 - len(rating.reasons)
    assert all(set(reason) == set(LANGUAGES) and all(reason.values()) for reason in rating.reasons)


def test_every_sentence_exists_in_every_language_with_the_same_places():
    for key, texts in _TEXTS.items():
        assert len({text.count("{0}") for text in texts}) == 1, key
        assert sentence(key, "A", "B")["ja"] != sentence(key, "A", "B")["en"]


async def test_a_plan_of_a_folder_with_a_fifo_does_not_wait(world):
    root = world.pack()
    await world.service.start()
    os.mkfifo(root / "pipe")
    with pytest.raises(Exception, match="pipe"):
        await plan_of(world)
