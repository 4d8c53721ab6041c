#!/usr/bin/env bash
# Builds the referees in release and runs them one after another: one JSON line per program and variant.
# Arguments are handed to each program: [ROUND_TRIPS [ROUND_TRIPS_WITH_PAUSES]]; without, each takes 5 to 10 seconds.
# Exits nonzero as soon as one fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# In the environment these would hide madsim's own flag, and the programs would no longer be built alike.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

# A package is built from its own folder: cargo reads .cargo/config.toml from the working directory.
packages=(queue madsim turmoil)
for package in "${packages[@]}"; do
  (cd "$package" && cargo build --release --locked --quiet)
done
for package in "${packages[@]}"; do
  (cd "$package" && cargo run --release --locked --quiet -- "$@")
done
