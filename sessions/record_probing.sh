#!/usr/bin/env bash
# Records probing.db as a user would: a battery of eight sets and what leads on from it, a quarter of an hour on 2 cores.
# Its texts are the shipped sets, addresses of US presidents (public domain), declarations of human rights and Python's
# documentation: a session holds the texts that it probes, so that none of battery_sets.sh's other sources is in it.
#     bash sessions/record_probing.sh FOLDER     FOLDER: where battery_sets.sh put its sources
set -euo pipefail
sessions="$(cd "$(dirname "$0")" && pwd)"
sources="$(cd "${1:?which folder?}" && pwd)"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export WORKBENCH_DATA="$scratch/data"
cd "$sources/prose/sotu"
workbench data make compound --words "social security" --corpus . --name social_security
cd ../../languages
workbench data make language --folder . --positive French --piece 120 --limit 500 --name french
cd "$scratch"
workbench data make contains-digit --corpus stdlib --limit 1000 --name digits
workbench run battery --data social_security,french,digits,is_python,past,months,plural,capitals --ablated-tokens 1000 \
  --session probing.db
workbench run dense-probe --data months --session probing.db
workbench run probe-apply --probe months-logistic --text "They met in March, on a Friday, and again in June." \
  --session probing.db
workbench stop --all  # closes the file: one file in DELETE mode
# Where its activations lay on this machine is nobody's business.
python - <<'PYTHON'
import sqlite3

with sqlite3.connect("probing.db", isolation_level=None) as session:
    stores = "(select hash from artifact where kind = 'activation store')"
    session.execute(f"delete from step_artifact where hash in {stores}")
    session.execute("delete from artifact where kind = 'activation store'")
    session.execute("vacuum")
PYTHON
mv probing.db "$sessions/probing.db"
chmod 644 "$sessions/probing.db"
