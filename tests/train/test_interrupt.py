"""Ctrl-C asks first and insists second; SIGTERM asks, however often it comes."""

import signal
import threading

import pytest

from tinylm.train import interrupt
from tinylm.train.interrupt import STOPS, finish_first, marked, marks

needs_hangup = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")


@pytest.fixture(autouse=True)
def default_handler():
    """Python's own handler, also where the tests run in the background, which ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def hangup():
    """Set what SIGHUP does, for the time of a test."""
    before = signal.getsignal(signal.SIGHUP)
    yield lambda handler: signal.signal(signal.SIGHUP, handler)
    signal.signal(signal.SIGHUP, before)


def test_first_ctrl_c_sets_the_flag_and_one_a_moment_later_acts(monkeypatch):
    before, said = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt):
        with finish_first(lambda: said.append(1)) as asked:
            assert not asked
            signal.raise_signal(signal.SIGINT)
            assert asked and said == [1]
            signal.raise_signal(signal.SIGINT)
            assert asked and said == [1]  # `timeout -s INT` sends two at once
            monkeypatch.setattr(interrupt, "ONE_PRESS", 0)
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_sets_the_flag_and_may_come_twice():
    before, said = signal.getsignal(signal.SIGTERM), []
    with finish_first(lambda: said.append(1)) as asked:
        signal.raise_signal(signal.SIGTERM)
        # from the scheduler and from the parent process
        signal.raise_signal(signal.SIGTERM)
        assert asked.signal == signal.SIGTERM and said == [1]
        with pytest.raises(KeyboardInterrupt):  # the user at the terminal insists
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


@needs_hangup
def test_sighup_asks_like_sigterm(hangup):
    hangup(signal.SIG_DFL)
    with finish_first() as asked:
        signal.raise_signal(signal.SIGHUP)
        assert asked.signal == signal.SIGHUP
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


@needs_hangup
def test_sighup_that_is_ignored_stays_ignored(hangup):
    hangup(signal.SIG_IGN)  # as nohup does
    with finish_first() as asked:
        signal.raise_signal(signal.SIGHUP)
        assert not asked


def test_a_terminal_that_is_gone_does_not_keep_from_saving():
    def say():
        raise OSError(5, "Input/output error")

    with finish_first(say) as asked:
        signal.raise_signal(signal.SIGTERM)
        assert asked


def test_workers_add_up_which_signal_came():
    for number in STOPS:
        assert marked([a + b for a, b in zip(marks(None), marks(number))]) == number
    assert marked(marks(None)) is None and marked(marks(True)) == signal.SIGINT
    both = [a + b for a, b in zip(marks(signal.SIGINT), marks(signal.SIGTERM))]
    assert marked(both) == signal.SIGTERM


def test_the_old_handler_is_back_afterwards():
    before = signal.getsignal(signal.SIGINT)
    with finish_first():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_a_thread_without_signals_trains_all_the_same():
    found = []

    def work():
        with finish_first() as asked:
            found.append(bool(asked))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_inside_another_it_is_the_same_flag():
    before, said = signal.getsignal(signal.SIGTERM), []
    with finish_first() as outer:
        with finish_first(lambda: said.append("inner")) as inner:
            signal.raise_signal(signal.SIGTERM)
            assert inner is outer and said == ["inner"]
        assert signal.getsignal(signal.SIGTERM) is not before  # still taken, after the inner
        with finish_first(lambda: said.append("later")) as later:  # what has come is told at once
            assert later.signal == signal.SIGTERM and said == ["inner", "later"]
        with pytest.raises(KeyboardInterrupt):  # Ctrl-C after it insists
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before
    with finish_first() as fresh:
        assert not fresh
