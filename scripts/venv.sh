#!/bin/sh
# Make .venv, or bring it up to date, with one extra of pyproject.toml: scripts/venv.sh local | dev | train
# `scripts/venv.sh clients` makes .venv-clients instead, which holds what the gateway is tried with and no ponder.
# Everything is pinned by constraints.txt, the build backend too. PYTHON=... chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."
case $1 in clients) venv=.venv-clients pins=tests/clients/constraints.txt ;; *) venv=.venv pins=constraints.txt ;; esac

usable() { "$1" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' </dev/null >/dev/null 2>&1; }

find_python() {
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if usable "$name"; then
            echo "$name"
            return
        fi
    done
    echo "ponder needs Python 3.11 or newer with its venv module, and ${PYTHON:-this machine} has none;" \
        "install one, or name it: make PYTHON=/path/to/python3.11" >&2
    exit 1
}

make_venv() {
    python=$(find_python)
    echo "making $venv with $("$python" --version)"
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv --clear "$venv"
    elif "$python" -m pip --version >/dev/null 2>&1; then
        # Debian ships Python without ensurepip; its own pip can fill the environment from outside.
        "$python" -m venv --clear --without-pip "$venv"
        "$python" -m pip --python "$venv/bin/python" install -q pip
    else
        echo "$python cannot install packages; add pip to it (Debian, Ubuntu: apt install python3-venv) and try again" >&2
        exit 1
    fi
}

usable "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1 || make_venv
install="$venv/bin/python -m pip install -q --no-input --disable-pip-version-check -c $pins"
if [ "$1" = clients ]; then
    echo "installing the clients of tests/clients into $venv"
    $install -r tests/clients/requirements.txt
else
    echo "installing ponder[$1] into $venv"
    $install hatchling editables
    $install --no-build-isolation -e ".[$1]"
fi
if [ "$1" = dev ] && ! $install reasoning-gym 2>.venv/tasks.log; then
    echo "reasoning-gym cannot be installed here (one of its parts is built by a C compiler); its tests will be skipped," \
        "and .venv/tasks.log has the reason" >&2
fi
touch "$venv/.$1"
