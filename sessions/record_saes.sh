#!/usr/bin/env bash
# Records saes.db as a user would: four SAEs, each trained on a million tokens and put to the study, and what the features
# of layer 10 do on a text: two hours on 2 cores. The SAEs stay in the data folder, for what one does with them next.
set -euo pipefail
sessions="$(cd "$(dirname "$0")" && pwd)"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

study() { # study LAYER WIDTH
  workbench sae train --site "$1.resid_post" --width "$2" --kind topk --tokens 1000000 --seed 0 --name "$1-$2" \
    --session training.db
  workbench run sae-errors --sae "$1-$2" --corpus stdlib:code --tokens 16384 --context 128 --seed 0 --session saes.db
}

study L10 2304
study L20 2304
workbench run features --sae L10-2304 --prompt 'We met in June and parted in May.' --session saes.db
workbench run feature --unit L10.F1929/L10-2304 --session saes.db
workbench run predict --prompt 'They met in June, July and' --answer ' August' --edit L10.F1929/L10-2304=0 \
  --session saes.db
study L10 9216
study L20 9216
workbench stop --all  # closes the file: one file in DELETE mode
# Where the SAEs lie on this machine is nobody's business.
python - <<'PYTHON'
import sqlite3

with sqlite3.connect("saes.db", isolation_level=None) as session:
    session.execute(
        "update artifact set spec = json_set(spec, '$.folder', 'data/saes/' || name) where kind = 'SAE'"
    )
    session.execute("vacuum")
PYTHON
mv saes.db "$sessions/saes.db"
chmod 644 "$sessions/saes.db"
