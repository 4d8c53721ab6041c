#!/usr/bin/env bash
# Builds and runs the comparison with other embedded stores: one JSON line per store. See README.md.
# usage: stores.sh DIR [RECORDS [BATCH]], DIR on the disk that is to be measured
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
(cd "$here" && cargo build --release --locked --quiet --package referee-stores)
exec "$here/target/release/stores" "$@"
