"""Stage 3: the sandbox image, under a tag that is the digest of everything that went into it.

An image gets its name only after it passed its self-check, run in it as hardened as a pack would be. The kernel finds
it by the state file in `.venv/`; `rumi-sandbox:current` is the newest good one on this engine, whoever made it.
"""

import contextlib
import json
import time

from bootstrap_steps import rootfs
from bootstrap_steps.donors import Recipe, archive, read_recipe
from bootstrap_steps.engine_api import Engine, Json, Refused, dig
from bootstrap_steps.report import SetupError
from bootstrap_steps.site import Site, read_json, write_atomically

STAGE = "image"
CURRENT = "rumi-sandbox:current"
KEPT_SECONDS = 24 * 3600
HARDENED: dict[str, Json] = {
    "NetworkMode": "none", "ReadonlyRootfs": True, "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges:true"],
    "PidsLimit": 64, "Memory": 256 << 20, "MemorySwap": 256 << 20, "IpcMode": "none", "Init": True,
    "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=16m,mode=1777"},  # noqa: S108
    "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
}  # fmt: skip


def ensure(site: Site, engine: Engine, architecture: str) -> str:
    """The image's tag, once it stands there checked and is written into the state file."""
    recipe = read_recipe(site.root, site.host.codename, architecture)
    image_id = find(engine, recipe)
    if image_id:
        site.reporter.line(STAGE, f"ready: {recipe.tag} with Python {recipe.python}")
        if not rootfs.is_there(engine, CURRENT):
            tag(engine, image_id, CURRENT)
    else:
        image_id = make(site, engine, recipe)
    record = {"image": recipe.tag, "image_id": image_id, "python": recipe.python}
    if read_json(site.state_file) != record and site.venv.is_dir():
        write_atomically(site.state_file, json.dumps(record, indent=1) + "\n")
    return recipe.tag


def find(engine: Engine, recipe: Recipe) -> str:
    """The id of this recipe's image, or the empty text. A tag alone is not believed: the label must agree."""
    try:
        found = engine.get(f"/images/{recipe.tag}/json")
    except Refused as error:
        if error.status == rootfs.NOT_FOUND:
            return ""
        raise
    return dig(found, "Id") if dig(found, "Config", "Labels", "org.rumi.input-digest") == recipe.digest else ""


def make(site: Site, engine: Engine, recipe: Recipe) -> str:
    """Build, check, and only then name the image."""
    rootfs.ensure_rootfs(site, engine, recipe)
    unchecked = f"rumi-sandbox:unchecked-{site.identity}"
    with site.reporter.work(STAGE, "building the sandbox image and checking it from inside"):
        marks = rootfs.labels(site, "sandbox", recipe)
        arguments = {"ROOTFS": recipe.rootfs_tag}
        rootfs.build(engine, rootfs.Build(archive(recipe.agent_files), "agent.Dockerfile", unchecked, arguments, marks))
        image_id = dig(engine.get(f"/images/{unchecked}/json"), "Id")
        self_check(site, engine, recipe, image_id)
        tag(engine, image_id, CURRENT)
        remove_tag(engine, unchecked)
        remove_old(site, engine, recipe)
        rootfs.sweep(site, engine)
        tag(engine, image_id, recipe.tag)  # last: this name is the mark that nothing is left to do
    return image_id


def self_check(site: Site, engine: Engine, recipe: Recipe, image_id: str) -> None:
    """Run the check inside the image. Raises SetupError with what it found."""
    code = dict(recipe.agent_files)["self_check.py"].decode()
    ended, said = run_inside(site, engine, image_id, ["python3", "-I", "-B", "-c", code])
    found = read_answer(said)
    if ended != 0 or not dig(found, "python").startswith(f"{recipe.python}."):
        raise SetupError(
            f"The sandbox image did not pass its self-check: {said.strip()[-400:] or f'exit code {ended}'}",
            "python3 bootstrap.py uninstall && python3 bootstrap.py setup",
        )


def read_answer(said: str) -> Json:
    """The JSON object of the check's last line."""
    try:
        found: Json = json.loads(said.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return found


def run_inside(site: Site, engine: Engine, image_id: str, command: list[str]) -> tuple[int, str]:
    """A command's exit code and output in a container that is hardened as for a pack, and gone afterwards."""
    marks: Json = {"org.rumi.kind": "self-check", "org.rumi.checkout": site.identity}
    arguments: list[Json] = [*command]
    body: Json = {"Image": image_id, "Cmd": arguments, "User": "65534:65534", "Labels": marks, "HostConfig": HARDENED}
    container = dig(engine.post("/containers/create", body), "Id")
    try:
        engine.post(f"/containers/{container}/start")
        answer = engine.post(f"/containers/{container}/wait", timeout=60)
        output = engine.raw(f"/containers/{container}/logs", stdout="1", stderr="1")
    finally:
        engine.delete(f"/containers/{container}", force="1", v="1")
    code = answer.get("StatusCode") if isinstance(answer, dict) else None
    return (code if isinstance(code, int) else -1), unframe(output)


def unframe(output: bytes) -> str:
    """An engine sends a container's output in frames of an 8-byte head (its last four bytes: the length) and a body."""
    parts = []
    while len(output) >= 8:
        size = int.from_bytes(output[4:8], "big")
        parts.append(output[8 : 8 + size])
        output = output[8 + size :]
    return b"".join(parts).decode("utf-8", "replace")


def tag(engine: Engine, image_id: str, name: str) -> None:
    repository, version = name.split(":")
    engine.post(f"/images/{image_id}/tag", repo=repository, tag=version)


def remove_tag(engine: Engine, name: str) -> None:
    """Take a name away; not being there, or being in use, is no failure."""
    with contextlib.suppress(Refused):
        engine.delete(f"/images/{name}")


def own_images(site: Site, engine: Engine) -> list[dict[str, Json]]:
    """Every image that this checkout made, by its label."""
    return images_with(engine, f"org.rumi.checkout={site.identity}")


def images_with(engine: Engine, label: str) -> list[dict[str, Json]]:
    """Every image that carries a label."""
    found = engine.get("/images/json", filters=json.dumps({"label": [label]}))
    return [image for image in found if isinstance(image, dict)] if isinstance(found, list) else []


def names_of(image: dict[str, Json]) -> list[str]:
    names = image.get("RepoTags")
    return (
        [name for name in names if isinstance(name, str) and name != "<none>:<none>"] if isinstance(names, list) else []
    )


def remove_old(site: Site, engine: Engine, recipe: Recipe) -> None:
    """Keep a day of earlier images, since a kernel that runs may still start containers from one."""
    for image in own_images(site, engine):
        created = image.get("Created")
        if isinstance(created, int) and created < time.time() - KEPT_SECONDS:
            for name in names_of(image):
                if name not in {recipe.tag, recipe.rootfs_tag, CURRENT}:
                    remove_tag(engine, name)
