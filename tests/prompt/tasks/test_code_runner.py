"""Generated code is judged by what it returns, and cannot loop, fill the memory or touch files."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from tinylm.errors import ConfigError, DataError
from tinylm.prompt.tasks import code_runner
from tinylm.prompt.tasks.code_runner import LIMITS, Limits, run_function

AVERAGE = """
def calculate_average(numbers):
    if numbers:  # the list is not empty
        return sum(numbers) / len(numbers)
    return 0
"""
CASES = [(([1, 2, 3],), 2), (([],), 0), (([1.5],), 1.5)]
# Starting Python takes about 0.1 s; the shortest limit that can be given is a second.
QUICK = Limits(1)


def returning(expression, *lines):
    """Code of a function f() that does something and returns an expression."""
    return "\n".join(["def f():", *(f"    {line}" for line in lines), f"    return {expression}"])


def status(code, expected=1, limits=LIMITS):
    return run_function(code, "f", [((), expected)], limits).status


def test_the_function_of_the_book_passes():
    ran = run_function(AVERAGE, "calculate_average", CASES)
    assert ran.passed and ran.results == ("2.0", "0", "1.5") and ran.message == ""
    wrong = run_function(AVERAGE.replace("return 0", "return 1"), "calculate_average", CASES)
    assert wrong.status == "failed" and not wrong.passed
    assert wrong.message == "calculate_average([]) is 1, not 0"
    assert wrong.results == ("2.0", "1", "1.5")


@pytest.mark.parametrize(
    "expression, expected, passes",
    [
        ("1.0", 1, True),  # numbers by value
        ("True", 1, False),  # but a truth value is no number
        ("1", True, False),
        ("True", True, True),
        ("(1, 2)", (1, 2), True),
        ("[1, 2]", (1, 2), False),
        ("{'a': [None]}", {"a": [None]}, True),
        ("'1'", 1, False),
        ("'\\x1e\\ud800é'", "\x1e\ud800é", True),
        ("[True]", [1], False),  # also inside
        ("[1.0]", [1], True),
        ("[1, 2]", [1, 2, 3], False),
        ("[1, 2, 3]", [1, 2], False),
        ("([1, True],)", ([1, 1],), False),
        ("{'a': 1}", {"a": True}, False),
        ("{'a': 1}", {"a": 2}, False),
        ("{'a': 1}", {"b": 1}, False),
        ("{'a': 1, 'b': 1}", {"a": 1}, False),
        ("{'a': 1}", {"a": 1, "b": 1}, False),
        ("{1}", {1, 2}, False),
        ("{True: 1}", {1: 1}, False),
        ("{1, 2}", {2, 1}, True),
        ("{1, 2}", {2}, False),
        ("{True}", {1}, False),
        ("set()", set(), True),
        ("b'a'", b"a", True),
        ("1j", 1j, True),
        ("float('inf')", 1, False),  # it has no literal
        ("None", None, True),
    ],
)
def test_results_are_compared_by_value_and_type(expression, expected, passes):
    assert (status(returning(expression), expected) == "passed") is passes


def test_an_object_that_looks_like_the_result_is_none():
    looks = "class A:\n    __repr__ = lambda self: '1'\n    __eq__ = lambda self, other: True\n"
    looks += "class B(int):\n    __repr__ = lambda self: '1'\n"
    for value in "A()", "B(2)", "[A()]", "{1: B(2)}", "f":
        ran = run_function(looks + returning(value), "f", [((), 1)])
        assert (ran.status, ran.results) == ("crashed", ())
        assert ran.message == "the result is no plain value"
    second = "def f(x):\n    return {0: 1, 1: f}[x]"
    assert run_function(second, "f", [((0,), 1), ((1,), 1)]).results == ("1",)
    true = type("True_", (int,), {"__repr__": lambda self: "1"})
    with pytest.raises(DataError, match="cannot be written"):
        run_function(second, "f", [((0,), true(1))])


def test_a_report_cannot_be_printed():
    # What the child would write for a right answer, but without the random mark.
    report = "('done', ['1'], '')"
    for line in (
        f'print("\\x1e{report}", end="", flush=True)',
        f'os.write(int(sys.argv[4]), b"{report}")',
    ):
        code = returning("2", "import os, sys", line, "os._exit(0)")
        assert status(code) == "crashed"
    # What else comes through the report's pipe does not matter, and neither do printed errors.
    code = returning("1", "import os, sys", "os.write(int(sys.argv[4]), b'(')")
    assert status(code) == "passed"


def test_a_report_that_cannot_be_read_is_a_crash(monkeypatch):
    for report in "((", "1", "(1, 2)", "(" * 1000, "f()":
        monkeypatch.setattr(code_runner.secrets, "token_hex", lambda n: "m")
        monkeypatch.setattr(
            code_runner, "_run", lambda folder, limits, r=report: ("out", f"m{r}", "", 0)
        )
        ran = run_function("", "f", [((), 1)])
        assert (ran.status, ran.output) == ("crashed", "out")


@pytest.mark.parametrize(
    "line",
    ["sys.stdout.close()", "os.close(1)", "sys.stdout = None", "sys.stdout.flush = None"],
)
def test_code_may_close_or_replace_its_output(line):
    ran = run_function(returning("1", "import os, sys", "print('a')", line), "f", [((), 1)])
    assert ran.passed


def test_an_interrupt_leaves_no_child(monkeypatch):
    children, start = [], subprocess.Popen

    def popen(*arguments, **options):
        children.append(start(*arguments, **options))
        return children[-1]

    def interrupted(pipes, deadline):
        raise KeyboardInterrupt

    monkeypatch.setattr(code_runner.subprocess, "Popen", popen)
    monkeypatch.setattr(code_runner, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_function(returning("1", "while True: pass"), "f", [((), 1)])
    assert children[0].returncode == -signal.SIGKILL


def test_a_process_that_outlives_the_child_is_killed(monkeypatch, tmp_path):
    # The hook refuses to start processes, so the child here is another script.
    script = tmp_path / "forks.py"
    script.write_text(
        "import os, time\nnumber = os.fork()\nif number:\n    print(number, flush=True)\n"
        "    os._exit(0)\nos.closerange(0, 99)\ntime.sleep(60)\n"
    )
    monkeypatch.setattr(code_runner, "_CHILD", script)
    ran = run_function("", "f", [((), 1)])
    assert ran.status == "crashed" and ran.message == "the process ended with code 0"
    state, deadline = running(ran.output), time.monotonic() + 5
    while state not in ("", "Z") and time.monotonic() < deadline:
        state = running(ran.output)
    assert state in ("", "Z")


def running(number):
    """The state of a process on Linux, "" without one."""
    try:
        with open(f"/proc/{int(number)}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_several_arguments_are_handed_over():
    ran = run_function("def add(a, b):\n    return a + b", "add", [((2, 3), 5), (("x", "y"), "x")])
    assert ran.message == "add('x', 'y') is 'xy', not 'x'"


def test_what_is_printed_is_kept_apart_from_what_is_returned():
    ran = run_function(
        returning("1", "print('hi', end='')", "print('\\x1e(1, 2)')"), "f", [((), 1)]
    )
    assert ran.passed and ran.output == "hi\x1e(1, 2)\n"
    long = run_function(returning("1", "print('x' * 10**5)"), "f", [((), 1)])
    assert long.passed and len(long.output) == 2**16


def test_endless_output_is_ended_before_it_fills_the_memory():
    code = returning("1", "while True: print('x' * 1000)")
    ran = run_function(code, "f", [((), 1)], Limits(30))
    assert ran.status == "output" and ran.message == "more than 1048576 bytes of output"
    assert len(ran.output) == 2**16
    assert status(returning("'x' * 2**21"), "x") == "output"  # a result counts, too


def test_errors_are_named():
    for code, message in (
        (returning("g()"), "NameError: name 'g' is not defined"),
        ("def f(:", "SyntaxError: invalid syntax"),
        ("g = 1", "no function f is defined"),
        ("f = 1", "no function f is defined"),
        (returning("f()"), "RecursionError: maximum recursion depth exceeded"),
        (returning("1", "raise SystemExit"), "SystemExit"),
        (returning("input()"), "EOFError: EOF when reading a line"),
        (returning("1", "import numpy"), "ModuleNotFoundError: No module named 'numpy'"),
    ):
        ran = run_function(code, "f", [((), 1)])
        assert (ran.status, ran.message) == ("error", message)
    assert status(returning("1", "import os", "os._exit(3)")) == "crashed"
    second = "def f(x):\n    return 1 / x"
    ran = run_function(second, "f", [((1,), 1), ((0,), 1)])
    assert ran.results == ("1.0",) and ran.message == "ZeroDivisionError: division by zero"


def test_the_standard_library_can_be_used():
    modules = "math json collections itertools re random heapq datetime statistics functools"
    modules += " string decimal fractions typing dataclasses bisect"
    lines = [f"import {module}" for module in modules.split()]
    lines.append("point = collections.namedtuple('Point', 'x')")
    assert status(returning("point(math.gcd(4, 6)).x", *lines), 2) == "passed"


def test_an_endless_loop_is_ended():
    ran = run_function(returning("1", "while True: pass"), "f", [((), 1)], QUICK)
    # By processor time, or on a busy machine by the clock
    assert ran.status == "timeout" and ran.message.startswith("no result after 1 s")


def test_code_that_waits_is_ended_too():
    ran = run_function("import time\n" + returning("1", "time.sleep(600)"), "f", [((), 1)], QUICK)
    assert ran.status == "timeout" and ran.message == "no result after 1 s"


def test_code_that_closes_its_output_is_still_ended():
    code = "import os, time\n" + returning("1", "os.closerange(0, 99)", "time.sleep(600)")
    assert status(code, limits=QUICK) == "timeout"


def test_memory_is_limited():
    small = Limits(memory=128 << 20)
    assert status(returning("len(bytes(64 << 20))"), 64 << 20, small) == "passed"
    assert status(returning("len(bytes(128 << 20))"), 128 << 20, small) == "memory"
    grow = returning("1", "kept = []", "while True: kept.append(bytes(1 << 20))")
    assert status(grow, limits=small) == "memory"


@pytest.mark.parametrize(
    "line, what",
    [
        ("open('/tmp/written', 'w')", "opened '/tmp/written'"),
        ("open('here', 'w')", "opened 'here'"),
        ("open('/etc/passwd')", "opened '/etc/passwd'"),
        ("open(os.__file__, 'a')", "opened"),  # the library may be read, not written
        ("open(os.path.dirname(os.__file__) + '/../x')", "opened"),
        ("os.open('/tmp/written', os.O_CREAT)", "opened"),
        # It would empty a file; this one is not there, so no harm is done if the guard fails.
        ("os.open(os.__file__ + '-none', os.O_RDONLY | os.O_TRUNC)", "opened"),
        ("open(os.path.dirname(os.__file__) + '-other')", "opened"),
        ("os.mknod('x')", "used os.mknod"),
        ("os.mkfifo('x')", "used os.mkfifo"),
        ("import posix; posix.mkfifo('x')", "used posix.mkfifo"),
        ("import _posixsubprocess as p; p.fork_exec()", "used _posixsubprocess.fork_exec"),
        ("os.listdir('/')", "opened '/'"),
        ("os.remove('/tmp/none')", "used os.remove"),
        ("os.mkdir('x')", "used os.mkdir"),
        ("os.system('true')", "used os.system"),
        ("os.fork()", "used os.fork"),
        ("os.kill(os.getppid(), 0)", "used os.kill"),
        ("import subprocess; subprocess.run(['true'])", "used subprocess.Popen"),
        ("import socket; socket.socket()", "used socket.__new__"),
        ("import socket; socket.create_connection(('127.0.0.1', 80))", "used socket.getaddrinfo"),
        ("import ctypes; ctypes.CDLL(None)", "used ctypes.dlopen"),
        ("import shutil; shutil.rmtree('/tmp/none')", "used shutil.rmtree"),
    ],
)
def test_files_processes_and_network_are_refused(line, what):
    # Hidden from `except Exception`, so the code cannot go on as if nothing had happened.
    code = returning("1", "import os", "try:", f"    {line}", "except Exception: pass")
    ran = run_function(code, "f", [((), 1)])
    assert ran.status == "refused" and ran.message.startswith(f"it {what}")


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "--user", "--net", "true"], capture_output=True).returncode != 0,
    reason="this system gives no process a network namespace of its own",
)
def test_the_network_is_another_one():
    code = returning("os.readlink('/proc/self/ns/net')", "import os")
    ran = run_function(code, "f", [((), os.readlink("/proc/self/ns/net"))])
    assert ran.status == "failed" and ran.results[0].startswith("'net:[")


def test_the_library_may_be_read():
    assert status(returning("len(open(os.__file__).read()) > 0", "import os"), True) == "passed"
    folder = "os.path.dirname(os.__file__)"
    assert status(returning(f"len(os.listdir({folder})) > 0", "import os"), True) == "passed"


def test_nothing_is_run_without_a_case_or_with_values_that_cannot_be_written():
    with pytest.raises(DataError, match="without a case nothing is tested"):
        run_function(AVERAGE, "calculate_average", [])
    for case in (((object(),), 1), ((1,), object())):
        with pytest.raises(DataError, match="cannot be written as a Python literal"):
            run_function(AVERAGE, "calculate_average", [case])
    with pytest.raises(DataError, match="is no name of a function"):
        run_function(AVERAGE, "a b", CASES)
    for wrong in ({"seconds": 0}, {"memory": (64 << 20) - 1}):
        with pytest.raises(ConfigError, match="Python itself needs 1 s, 64 MiB"):
            Limits(**wrong)
    assert (Limits(1, 64 << 20).seconds, LIMITS.seconds, LIMITS.memory) == (1, 5, 512 << 20)
