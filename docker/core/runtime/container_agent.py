"""Starts the agent of one pack. The image runs exactly this: `python3 -I -B /opt/rumi/container_agent.py`.

Kept to a few lines, because the file that Python is started with is compiled anew every time.
"""

import sys

sys.pycache_prefix = "/opt/rumi/pycache"  # first of all: byte code is looked for here, and never in the pack (AP-04)
sys.path.insert(0, __file__.rpartition("/")[0] or ".")

from rumi_agent.main import main  # noqa: E402

if __name__ == "__main__":
    main()
