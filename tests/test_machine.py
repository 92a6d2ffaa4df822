"""Freed memory is kept where glibc can, BLAS threads are set and read back, cores are counted."""

import subprocess
import sys

import pytest

from tinylm import machine


def test_keep_freed_memory_takes_effect_on_glibc_and_never_fails():
    import platform

    # apart: it lasts for a process
    code = "from tinylm.machine import keep_freed_memory; print(keep_freed_memory())"
    took = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert took in ("True", "False")
    if platform.libc_ver()[0] == "glibc" and tuple(map(int, platform.libc_ver()[1].split("."))) >= (
        2,
        35,
    ):
        assert took == "True"  # older glibc caps the threshold at 32 MiB


def test_one_blas_thread_is_set_back_by_the_last_that_leaves(monkeypatch):
    now = [4]

    def threads(n=None):
        now[0] = now[0] if n is None else n
        return now[0]

    monkeypatch.setattr(machine, "blas_threads", threads)
    first, second = machine.one_blas_thread(), machine.one_blas_thread()
    first.__enter__()
    second.__enter__()
    assert now == [1]
    first.__exit__(None, None, None)  # as in another thread, which ends earlier
    assert now == [1]
    second.__exit__(None, None, None)
    assert now == [4]
    with pytest.raises(KeyError), machine.one_blas_thread():
        raise KeyError
    assert now == [4]


def test_blas_threads_are_set_and_read_back():
    before = machine.blas_threads()
    if before is None:
        pytest.skip("this NumPy does not carry its own OpenBLAS")
    try:
        assert machine.blas_threads(1) == 1 and machine.blas_threads() == 1
    finally:
        assert machine.blas_threads(before) == before


def test_there_is_at_least_one_core():
    assert machine.cores() >= 1


def test_the_last_cache_is_the_largest_that_the_system_tells_of(monkeypatch, tmp_path):
    sizes = {"index0": "48K\n", "index2": "1024K\n", "index3": "32M\n", "index4": "none\n"}
    for name, size in sizes.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "size").write_text(size)
    monkeypatch.setattr(machine, "Path", lambda path: tmp_path)
    assert machine.last_cache.__wrapped__() == 32 << 20
    monkeypatch.setattr(machine, "Path", lambda path: tmp_path / "nowhere")
    assert machine.last_cache.__wrapped__() is None
