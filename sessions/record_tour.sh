#!/usr/bin/env bash
# Records tour.db as users would: `workbench` without a terminal runs the tour's investigation (workbench/cli/tour.py).
set -euo pipefail
cd "$(dirname "$0")"
rm -f tour.db
workbench --session tour.db </dev/null | cat
workbench stop --all  # closes the file: one file in DELETE mode
