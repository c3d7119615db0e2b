#!/usr/bin/env bash
# Install the lowest versions that pyproject.toml declares, and run the tests of `make quick`.
# usage: install/lowest.sh PYTHON FOLDER
set -euo pipefail
python=$1 folder=$2
rm -rf "$folder" && "$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet uv # resolves to the lowest, which pip cannot
extras=(--extra pipeline --extra 2d --extra synthesis --extra viewer --extra clouds --extra demo --extra zoo --extra bench --extra test)
"$folder/bin/uv" pip compile --quiet --resolution lowest-direct --python "$folder/bin/python" "${extras[@]}" \
  --output-file "$folder/lowest.txt" pyproject.toml
"$folder/bin/uv" pip install --quiet --python "$folder/bin/python" -r "$folder/lowest.txt"
"$folder/bin/uv" pip install --quiet --python "$folder/bin/python" --no-deps --editable .
OMP_WAIT_POLICY=passive "$folder/bin/python" -m pytest -p no:cacheprovider -m 'not slow and not integration and not minkowski' "${@:3}"
