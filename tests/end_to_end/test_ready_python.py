"""What runs in a ready Python runs as in one of its own: the same bytes, words, streams, signals and ends."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.builders import ready_python

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.environ.get("OMP_NUM_THREADS") != "1", reason="OMP_NUM_THREADS=1 is not set"),
]

TELL = """
import json, os, random, signal, sys, threading
mask = os.umask(0)
streams = (sys.stdin, sys.stdout, sys.stderr)
told = {
    "argv": sys.argv, "words": sys.orig_argv[1:], "folder": os.getcwd(), "path": sys.path, "umask": mask,
    "environment": {k: v for k, v in os.environ.items() if k not in SET_BY_PACKAGES},
    "files": sorted(os.listdir("/proc/self/fd")), "threads": threading.active_count(),
    "streams": [[s.encoding, s.errors, s.line_buffering, s.fileno()] for s in streams],
    "signals": {n: str(signal.getsignal(n)).split(" at ")[0] for n in signal.valid_signals()},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "read": sys.stdin.read(),
    "name": [__name__, __spec__.name, sys.modules["__main__"].__dict__ is globals()],
}
drawn = [random.random()]
if "numpy" in sys.modules:
    drawn.append(float(sys.modules["numpy"].random.random()))
print(json.dumps({"told": told, "ready": "torch" in sys.modules, "drawn": drawn}))
"""
SET_BY_PACKAGES = (
    "TORCHINDUCTOR_CACHE_DIR",
    "TOKENIZERS_PARALLELISM",
    "LC_CTYPE",
    "_",
    "SHLVL",
    "PWD",
    "OLDPWD",
)
ENDS = {
    "nothing": "print('done')",
    "none": "import sys; sys.exit()",
    "code": "import sys; print('out'); sys.exit(3)",
    "large": "import sys; sys.exit(259)",
    "words": "import sys; sys.exit('cannot')",
    "error": "raise ValueError('wrong')",
    "interrupted": "raise KeyboardInterrupt",
    "at_once": "import os; print('out', flush=True); os._exit(7)",
    "killed": "import os; os.kill(os.getpid(), 9)",
    "aborted": "import os; os.abort()",
    "registered": "import atexit; atexit.register(print, 'last'); print('first'); exit(4)",
    "finalized": "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 'last')\nprint('first')",
    "thread": "import threading\nthreading.Timer(0.3, print, ['last']).start()\nprint('first')",
    "many": "import sys; print('x' * 1_000_000); print('y', file=sys.stderr)",
    "ordered": "import logging as l, sys\nl.basicConfig(stream=sys.stdout)\nprint(1)\nl.error(2)\nprint(3)",
    "forked": "import os\nif not os.fork(): os._exit(0)\nprint(os.WEXITSTATUS(os.wait()[1]))",
}
SLEEPER = """
import os, signal, subprocess, sys, time
if sys.argv[1:]:
    signal.signal(signal.SIGTERM, lambda *_: (print("told", flush=True), sys.exit(5)))
below = subprocess.Popen(["sleep", "100"], stdout=subprocess.DEVNULL)
print(os.getpid(), below.pid, flush=True)
time.sleep(100)
"""


@pytest.fixture
def staged(tmp_path):
    """A folder with a package of stages: `tell` tells how it was started, the others end in their way."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").touch()
    (tmp_path / "stages/tell.py").write_text(f"SET_BY_PACKAGES = {SET_BY_PACKAGES}\n{TELL}")
    (tmp_path / "stages/sleeper.py").write_text(SLEEPER)
    for name, code in ENDS.items():
        (tmp_path / f"stages/{name}.py").write_text(code)
    return tmp_path


@pytest.fixture
def pythons():
    """(the ready one, one of its own)"""
    return str(ready_python.folder() / "python"), sys.executable


def run(python, folder, *words, changes=(), **options):
    options = {"input": "given\n", "capture_output": True, "text": True} | options
    return subprocess.run([python, *words], cwd=folder, env=os.environ | dict(changes), **options)


def begun(command, folder, **changes):
    """The process of a command. Its environment is this one's, without what libraries in C set."""
    environment = os.environ | changes
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_command_begins_as_in_a_python_of_its_own(staged, pythons):
    variables = {"PYTHONPATH": f"elsewhere{os.pathsep}/there", "DVC_STAGE": "tell", "PYTEST_MINE": "ä"}
    words = ("-m", "stages.tell", "a word", "--option", "")
    ready, again, own = (
        json.loads(run(python, staged, *words, changes=variables, umask=0o027).stdout)
        for python in (pythons[0], *pythons)
    )
    assert ready["ready"] and not own["ready"]
    assert ready["told"] == own["told"] == again["told"]
    assert own["told"]["umask"] == 0o027 and own["told"]["read"] == "given\n"
    for first, second in zip(ready["drawn"], again["drawn"], strict=True):
        assert first != second  # of generators that every process seeds anew


@pytest.mark.parametrize("name", ENDS)
def test_a_command_ends_as_in_a_python_of_its_own(staged, pythons, name):
    ready, own = (run(python, staged, "-m", f"stages.{name}") for python in pythons)
    assert (ready.returncode, ready.stdout) == (own.returncode, own.stdout)
    assert ready.stderr.splitlines()[-1:] == own.stderr.splitlines()[-1:]


def test_what_is_printed_to_one_pipe_keeps_its_order(staged, pythons):
    one = {"capture_output": False, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    ready, own = (run(python, staged, "-m", "stages.many", **one).stdout for python in pythons)
    assert ready == own


def test_a_signal_reaches_the_command(staged, pythons):
    for handled, code, said in (((), -signal.SIGTERM, ""), (("yes",), 5, "told\n")):
        for python in pythons:
            command = [python, "-m", "stages.sleeper", *handled]
            with begun(command, staged) as process:
                *_, below = process.stdout.readline().split()
                process.send_signal(signal.SIGTERM)
                os.kill(int(below), signal.SIGKILL)
                assert (process.wait(60), process.stdout.read()) == (code, said)


def test_what_is_killed_takes_the_command_with_it(staged, pythons):
    command = [pythons[0], "-m", "stages.sleeper"]
    with begun(command, staged) as process:
        started = [int(word) for word in process.stdout.readline().split()]
        assert all(map(runs, started))
        process.kill()
    assert ended(started)


def test_the_servers_end_with_the_process_that_started_them(staged, pythons):
    code = (
        "import subprocess, sys; from tests.builders import ready_python\n"
        "ready_python.SERVERS = {'stages': ()}\n"  # which begin at once
        "folder = ready_python.folder(); print(folder, flush=True)\n"
        "subprocess.run([folder / 'python', '-m', 'stages.sleeper'], cwd=sys.argv[1])"
    )
    command = [sys.executable, "-c", code, staged]
    with begun(command, staged, PYTHONPATH=os.pathsep.join(sys.path)) as process:
        folder = process.stdout.readline().strip()
        started = [int(word) for word in process.stdout.readline().split()]
        process.kill()
    assert ended(started)
    end = time.monotonic() + 60
    while os.path.exists(folder) and time.monotonic() < end:
        time.sleep(0.01)
    assert not os.path.exists(folder)


def runs(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{process}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


def ended(processes):
    """Whether they end within a minute."""
    end = time.monotonic() + 60
    while any(map(runs, processes)) and time.monotonic() < end:
        time.sleep(0.01)
    return not any(map(runs, processes))


def test_what_no_ready_python_can_do_one_of_its_own_does(staged, pythons):
    python, _ = pythons
    (staged / "first").mkdir()
    (staged / "first/sitecustomize.py").write_text("print('begun')")
    (staged / "other.py").write_text("import sys; print('torch' in sys.modules)")
    asked = "import sys; print('torch' in sys.modules)"
    assert run(python, staged, "-c", asked).stdout == "False\n"
    assert run(python, staged, "-m", "other").stdout == "False\n"
    for name in ("HF_HUB_OFFLINE", "OMP_NUM_THREADS", "HOME"):
        told = json.loads(run(python, staged, "-m", "stages.tell", changes={name: "2"}).stdout)
        assert told["told"]["environment"][name] == "2" and not told["ready"]
    begun, told = run(
        python, staged, "-m", "stages.tell", changes={"PYTHONPATH": "first"}
    ).stdout.splitlines()
    assert begun == "begun" and not json.loads(told)["ready"]


def test_a_run_of_dvc_gives_the_same_bytes_and_words(workspace, tmp_path):
    own = dataclasses.replace(workspace.copy(tmp_path / "own"), ready=False)
    outputs = []
    for each in (workspace, own):
        each.set({"fusion": {"tau": 0.1}})
        result = each.dvc("repro", "training@distilled")
        assert result.code == 0 and result.stages == ["fusion", "training@distilled"], result.output
        outputs.append([line for line in result.output.splitlines() if not re.search(r"\d+/\d+", line)])
    assert outputs[0] == outputs[1] and workspace.lock() == own.lock()
    folders = ("data/fusion", "data/index", "models/distilled")
    assert workspace.artefacts(*folders) == own.artefacts(*folders)
