"""`bootstrap.py uninstall`: take away what the set-up made for this checkout, and nothing else.

The container engine stays, since others may use it, and so does everything that belongs to the owner: the data, the
packs, the distribution's packages. Images go by their label with this checkout's name: another checkout keeps its own.
"""

import shutil
import sys

from bootstrap_steps import engine, image, venv
from bootstrap_steps.engine_api import Engine, Refused, dig, read_address
from bootstrap_steps.report import SetupError
from bootstrap_steps.rootfs import NOT_FOUND, is_there
from bootstrap_steps.settings import user_data
from bootstrap_steps.site import Site, only_one


def run(site: Site) -> int:
    """Remove, and say what was removed and what was left."""
    with only_one(site):
        complete = remove_images(site)
        remove_venv(site)
    say(f"left: the container engine, and your data in {user_data(site.root, site.environment)}")
    return 0 if complete else 1


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def remove_images(site: Site) -> bool:
    """Whether every image of this checkout is gone. Without an engine there is nothing to reach, which is said."""
    try:
        address = read_address(site.environment)
    except SetupError as error:
        say(f"left: the images ({error.sentence})")
        return True
    if engine.ping(address).reply is not engine.Reply.ANSWERS:
        say("left: the images, since no container engine answers")
        return True
    running = Engine(address)
    complete = True
    for found in sorted(
        image.own_images(site, running), key=lambda one: dig(one, "Labels", "org.rumi.kind") == "rootfs"
    ):
        names = image.names_of(found)
        try:
            for name in names or [dig(found, "Id")]:
                running.delete(f"/images/{name}")
        except Refused as error:
            complete = error.status == NOT_FOUND and complete
            say(f"left: {', '.join(names)} ({error.said})")
            continue
        say(f"removed: {', '.join(names) or dig(found, 'Id')}")
    hand_on_current(running)
    return complete


def hand_on_current(running: Engine) -> None:
    """If the newest good image was ours, the next newest one of another checkout takes over its name."""
    if is_there(running, image.CURRENT):
        return
    others = image.images_with(running, "org.rumi.sandbox=1")
    if others:
        newest = max(others, key=lambda one: created if isinstance(created := one.get("Created"), int) else 0)
        image.tag(running, dig(newest, "Id"), image.CURRENT)


def remove_venv(site: Site) -> None:
    """`.venv` goes if the set-up made it; in somebody else's, only the set-up's own marks go."""
    if not site.venv.exists():
        return
    if venv.made_by_us(site).exists():
        shutil.rmtree(site.venv)
        say("removed: .venv")
        return
    for path in (venv.marker(site), site.state_file, site.venv / "bin" / "rumi", venv.site_packages(site) / "rumi.pth"):
        path.unlink(missing_ok=True)
    say("left: .venv (the set-up did not make it); its own marks in it are removed")
