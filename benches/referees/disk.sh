#!/usr/bin/env bash
# Holds the disk model against turmoil-fs: first the tests of the comparison itself, then random calls.
# The argument is the number of seeds. Exits nonzero as soon as something differs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

cargo test --release --locked --quiet --package referee-disk
cargo run --release --locked --quiet --package referee-disk -- "$@"
