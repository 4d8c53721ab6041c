#!/usr/bin/env bash
# Sets other projects' approximate indexes beside ours, in Python environments made for it. See benches/README.md.
# `stormproof-bench compare` is the same from anywhere, and is itself what is measured as ours.
# usage: compare.sh [--venv DIR] SET [options of compare.py]; without --venv the environments are removed at the end
# Exits with 0 if all was measured or skipped by name, 2 for wrong use, 3 if a tool failed.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

wrong() { echo "compare.sh: $1" >&2; exit 2; }
failed() { echo "compare.sh: $1" >&2; exit 3; }
command -v python3 > /dev/null ||
  failed "python3 is missing: install Python 3.11 or later with venv and pip, as in \`apt-get install python3-venv python3-pip\`"

kept=
if [[ ${1-} == --venv ]]; then
  [[ -n ${2-} ]] || wrong "--venv takes a directory"
  kept=$2
  shift 2
fi
for argument in "$@"; do
  case $argument in -h | --help) exec python3 "$here/compare.py" --help ;; esac
done
# What is wrong with the arguments is said before minutes have gone by.
python3 "$here/compare.py" --check "$@"

if [[ -n $kept ]]; then
  mkdir -p "$kept" || wrong "$kept: no directory can be made there"
  venv="$(cd "$kept" && pwd)"
else
  venv="$(mktemp -d)" || failed "no temporary directory can be made"
  trap 'rm -rf "$venv"' EXIT
fi

# Arguments: the environment's name, the list of packages. What pip says is in NAME.log.
install() {
  python3 -m venv "$venv/$1" > "$venv/$1.log" 2>&1 || return 1
  "$venv/$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/$2" > "$venv/$1.log" 2>&1
}
# Its first error, which names the package; the later ones follow from it.
why() { grep -m1 -i error "$venv/$1.log" || tail -n1 "$venv/$1.log"; }

echo "installing what requirements.txt names" >&2
install peers requirements.txt || { cat "$venv/peers.log" >&2; failed "it cannot be installed: $(why peers)"; }
diskann=(--diskann-python "$venv/diskann/bin/python")
install diskann requirements-diskann.txt || diskann=(--without "diskannpy=it cannot be installed: $(why diskann)")

"$venv/peers/bin/python" "$here/compare.py" "${diskann[@]}" "$@"
