#!/bin/sh
# Makes `tiny-reasoner` and `tiny-reasoner-small` into a folder. Interrupted, it goes on.
set -eu
out=${1:-runs/tiny-reasoner}
mkdir -p "$out"
for size in strong:tiny-reasoner small:tiny-reasoner-small; do
    [ -d "$out/${size#*:}" ] || ponder train base --size "${size%%:*}" --threads 1 --out "$out/${size#*:}"
done
