#!/usr/bin/env bash
# Install the wheel of this tree without any extra, run the tests of the core against it, and use its commands outside.
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

# A scan and a network by their paths, in a folder that holds no project, and then a project's first commands.
"$folder/bin/python" -m pip install --quiet viser -c constraints.txt # the extra of `anyscene view`
tree=$PWD there=$(cd "$folder" && pwd)/elsewhere
mkdir "$there" && PYTHONPATH=$tree "$folder/bin/python" -c "
from pathlib import Path
from tests.builders.capture import write_scan
write_scan(Path('$there'), 'scan')"
anyscene=$(cd "$folder/bin" && pwd)/anyscene network=$tree/models/demo/student
cd "$there" && unset PYTHONPATH
"$anyscene" query scan "a lamp" --source "$network"
"$anyscene" view scan --source "$network" --port 0 >view.log 2>&1 &
viewer=$! && trap 'kill $viewer' EXIT
for _ in $(seq 60); do grep -qs http view.log && break || sleep 1; done
python3 -c "
import re, urllib.request
page = urllib.request.urlopen(re.search(r'http://[0-9.:]+', open('view.log').read())[0]).read()
assert b'<html' in page, page[:99]"
cp "$tree/params.yaml" . && "$anyscene" preset scannet
! "$anyscene" doctor >doctor.log # which then says what is missing, and so ends with 1
grep 'sparse backend' doctor.log
grep -q 'scans/scannet: no such folder' doctor.log
echo "core: query, view, preset and doctor work outside of the tree"
