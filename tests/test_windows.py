"""On a system without what only Unix has, tinylm imports, trains, saves, goes on and generates."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
TEXT = "the cat sat on the mat and the dog – ☃ – sat on the log. " * 12
TINY = "--tokenizer=bytes --n-layer=1 --n-head=1 --d-model=8 --context=64 --steps=3 --batch-size=2"


def on_windows(code, *arguments, ends=0, encoding="cp1252"):
    """What `code` prints on the stand-in: (stdout, stderr). `run(words)` in it runs a command."""
    before = "from tinylm.cli import main\ndef run(words):\n    assert main(words.split()) == 0\n"
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", ROOT / "tests/windows.py", before + code]
        + [str(argument) for argument in arguments],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)},
    )
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding, "replace")
    assert done.returncode == ends, out + err
    return out, err


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder with a text and a run, what was printed), all on the stand-in."""
    folder = tmp_path_factory.mktemp("windows")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    code = f"""
import os
os.chdir(argv[0])
run("train --data text.txt --out run {TINY}")
run("train --resume run --steps 5")
run("generate run the --max-tokens 5")
run("eval run --data text.txt")
run("plot run --csv log.csv --tensorboard events")
run("export run folder")
run("train --data text.txt --lr-range --lr-steps 3 {TINY}")
"""
    return folder, on_windows(code, folder)[0]


def test_the_stand_in_lacks_what_windows_lacks(tmp_path):
    code = """
import os, signal
assert os.name == "nt" and not hasattr(os, "fork") and not hasattr(signal, "SIGHUP")
try:
    import fcntl
except ImportError:
    print("none")
import subprocess    # has its own os
with open(argv[0], encoding="utf-8"):
    for change in (os.unlink, os.remove, lambda path: os.replace(path, path + "2")):
        try:
            change(argv[0])
        except PermissionError:
            print("open")
try:
    exec(compile("open(argv[0])", "x", "exec"), {"__name__": "tinylm.x", "argv": argv})
except EncodingWarning:
    print("cp1252")
os.unlink(argv[0])
"""
    path = tmp_path / "file"
    path.write_text("", encoding="utf-8")
    assert on_windows(code, path)[0].split() == ["none", "open", "open", "open", "cp1252"]
    assert not path.exists()


def test_a_run_is_trained_goes_on_and_is_used(trained):
    folder, said = trained
    assert "this system has no file locks (fcntl)" in said
    assert "workers: 1" in said and "continuing from" in said and "bits per byte" in said
    lines = (folder / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line)["step"] for line in lines if '"event": "step"' in line]
    assert steps == [1, 2, 3, 4, 5]
    assert not list(folder.rglob("*.tmp-*"))


def test_a_run_is_tuned_and_a_failed_start_leaves_nothing(trained, tmp_path):
    folder, _ = trained
    sample = {"instruction": "the cat?", "output": "sat"}
    pair = {"prompt": "the cat?", "chosen": "sat", "rejected": "no"}
    for name, line in (("samples", sample), ("pairs", pair)):
        (tmp_path / f"{name}.jsonl").write_text(f"{json.dumps(line)}\n" * 4, encoding="utf-8")
    code = """
import os
os.chdir(argv[1])
base = argv[0] + "/run"
run(f"finetune {base} --data samples.jsonl --steps 2 --batch-size 2 --out tuned")
run("align dpo tuned --data pairs.jsonl --steps 2 --batch-size 2 --out dpo")
run("prompt dpo the --max-tokens 3")
for words in (f"align dpo {base} --data samples.jsonl --out none",
              f"train --data {argv[0]}/text.txt --context 8 --out none --workers 2"):
    assert main(words.split()) == 1
import tinylm.cli.learn.train as verb
def stopped(run):
    raise KeyboardInterrupt
verb._trained = stopped    # Ctrl-C before anything is trained, while its tokens are mapped
words = f"train --data {argv[0]}/text.txt --tokenizer bytes --context 8 --out none"
assert main(words.split()) == 130
"""
    _, errors = on_windows(code, folder, tmp_path)
    assert (
        "tinylm align: " in errors
        and "2 processes are asked for, but this system cannot fork" in errors
    )
    assert not (tmp_path / "none").exists()


def test_code_of_a_model_is_not_run_without_limits(monkeypatch):
    from tinylm.errors import ConfigError
    from tinylm.prompt.tasks.code_runner import run_function

    monkeypatch.delattr(os, "killpg")
    with pytest.raises(ConfigError, match="only under limits"):
        run_function("def f(x):\n    return x", "f", [((1,), 1)])
