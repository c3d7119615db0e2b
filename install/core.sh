#!/usr/bin/env bash
# Install the wheel of this tree without any extra, and run the tests of the core against it.
# usage: install/core.sh PYTHON FOLDER
set -euo pipefail
python=$1 folder=$2
rm -rf "$folder" && "$python" -m venv "$folder"
started=$SECONDS
"$folder/bin/python" -m pip install --quiet --upgrade "pip>=24" -c constraints.txt
"$folder/bin/python" -m pip wheel --quiet --no-deps --wheel-dir "$folder/wheel" .
"$folder/bin/python" -m pip install --quiet "$folder"/wheel/anyscene-*.whl -c constraints.txt
echo "core: $((SECONDS - started)) s, $(du -sm "$folder" | cut -f1) MB"
"$folder/bin/python" -m pip install --quiet pytest hypothesis -c constraints.txt # what tests are run by
# The wheel is tested and not the tree: `python -P` leaves the current folder out, `pythonpath` is that of tests/ alone.
tests=(tests/test_scene.py tests/fusion/test_fuse.py tests/project/test_store.py tests/project/test_extras.py
  tests/project/test_registry.py tests/lifting tests/networks/test_minkunet.py
  tests/networks/sparse/test_coordinates.py tests/text/test_text_space.py tests/tasks/query/test_groups.py)
env -u PYTHONPATH "$folder/bin/python" -P -m pytest -p no:cacheprovider -o pythonpath=. \
  -m 'not slow and not integration' "${tests[@]}"
