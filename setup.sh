#!/bin/sh
# Make everything that Rumi needs, without starting it. The work is done by bootstrap.py; this finds it a Python.
set -eu
cd "$(dirname "$0")"

for python in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$python" >/dev/null 2>&1 &&
        "$python" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' 2>/dev/null; then
        exec "$python" bootstrap.py setup "$@"
    fi
done
echo "problem: Rumi needs Python 3.11 or newer, and none was found." >&2
echo "   mend: sudo apt-get install python3 python3-venv, then: ./setup.sh" >&2
exit 1
