"""Short notes: add, list, delete. One store, keys that sort by time."""

import secrets
import time


def run(context):
    registry = context["interface_registry"]
    registry.register("notes.add", add)
    registry.register("notes.list", list_notes)
    registry.register("notes.delete", delete)


def add(args, ctx):
    text = args["text"]
    if len(text) > ctx.settings["max_length"]:
        raise ValueError(f"A note has at most {ctx.settings['max_length']} characters; this one has {len(text)}.")
    created = int(time.time() * 1000)
    key = f"{created:015d}-{secrets.token_hex(4)}"
    note = {"title": args.get("title") or text.split("\n", 1)[0][:80], "text": text, "created_ms": created}
    ctx.store("notes").set(key, note)
    return {"key": key}


def list_notes(args, ctx):
    store = ctx.store("notes")
    found, cursor = [], None
    while True:
        page = store.list(limit=1000, cursor=cursor, values=True)
        found += [{"key": item["key"], **item["value"]} for item in page["items"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    return {"notes": found[::-1][: args.get("limit", 100)]}


def delete(args, ctx):
    return ctx.store("notes").delete(args["key"])
