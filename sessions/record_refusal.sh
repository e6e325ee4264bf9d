#!/usr/bin/env bash
# Records refusal.db as a user would, on a copy of the default model that refuses: about an hour and a half on 2 cores.
# The copy is made where it isn't there yet; its folder and the exported one stay in FOLDER.
#     bash sessions/record_refusal.sh FOLDER
set -euo pipefail
sessions="$(cd "$(dirname "$0")" && pwd)"
folder="$(mkdir -p "${1:?which folder?}" && cd "$1" && pwd)"
if [ ! -d "$folder/refusing-copy" ]; then
  (cd "$sessions/.." && python -m tests.benchmarks.refusing_copy "$folder/refusing-copy") || true  # 1: short of its aim
fi
cd "$folder"
rm -rf refusal.db stops-refusing
workbench run refusal --harmful @harmful --harmless @harmless --seed 42 --model refusing-copy --session refusal.db
workbench run export-model --direction @refusal --folder stops-refusing --seed 42 --model refusing-copy --session refusal.db
workbench run refusal --harmful @harmful --harmless @harmless --stage filter --seed 42 --model stops-refusing \
  --session refusal.db
workbench stop --all  # closes the file: one file in DELETE mode
# Models are told by their hash; where their folders lay on this machine is nobody's business.
python - "$folder/" <<'PYTHON'
import sqlite3
import sys

with sqlite3.connect("refusal.db") as session:
    for (table,) in session.execute("select name from sqlite_master where type = 'table'").fetchall():
        for _, column, kind, *_ in session.execute(f"pragma table_info({table})").fetchall():
            if kind == "TEXT":
                session.execute(f"update {table} set {column} = replace({column}, ?, '')", sys.argv[1:])
PYTHON
mv refusal.db "$sessions/refusal.db"
chmod 644 "$sessions/refusal.db"
