"""Make everything that Rumi needs on this machine, then hand over to it.

    python3 bootstrap.py run | test | setup | doctor | uninstall

Standard library only, since it runs before anything is installed. This file must stay readable by old Pythons (3.6 and
later): its one act is to tell them, in a sentence, that they are too old. All else lives in bootstrap_steps/.
"""

import sys

NEEDED = (3, 11)
TOO_OLD = """problem: Rumi needs Python 3.11 or newer; this one is {}.{}.
   mend: sudo apt-get install python3.11    (or any newer python3.x),
         then start again: python3.11 bootstrap.py {}
"""
WINDOWS = """problem: Rumi runs on Linux; on Windows that is WSL 2.
   mend: wsl --install, then inside it: python3 bootstrap.py run
         (setup.bat starts it there for you)
"""


def main() -> int:
    if sys.version_info[:2] < NEEDED:
        sys.stderr.write(TOO_OLD.format(sys.version_info[0], sys.version_info[1], " ".join(sys.argv[1:2]) or "run"))
        return 1
    if sys.platform == "win32":
        sys.stderr.write(WINDOWS)
        return 1
    from bootstrap_steps.command import main as command

    return command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
