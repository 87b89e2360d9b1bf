"""The first Ctrl-C is remembered, the second one is raised; programs that handle it themselves are left alone."""

import os
import signal
import sys
import threading
import time
import weakref

import pytest

from codecsim.errors import CodecError, StoreError
from codecsim.interrupts import Stopped, end_if_asked, is_ending, never_lost, patient


class Referred:
    """Something that a weak reference can point at."""


def raise_in_a_callback(error: type[BaseException]) -> None:
    def gone(_: object) -> None:
        raise error

    referred = Referred()
    reference = weakref.ref(referred, gone)
    del referred
    assert reference() is None


def strike() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    signal.getsignal(signal.SIGINT)  # a bytecode further, Python's handler has run


def test_the_first_one_is_remembered_and_said(capfd: pytest.CaptureFixture[str]) -> None:
    with patient() as ending:
        assert not is_ending()
        strike()
        assert is_ending()
    assert ending.cause is None
    assert not is_ending()
    assert capfd.readouterr().err == "\nEnding after what is in hand; Ctrl-C once more ends at once.\n"
    with ending.putting_in_order():
        pass


def test_an_end_that_was_asked_for_is_passed_on_when_all_is_in_order() -> None:
    done = []

    def work() -> None:
        with patient() as ending:
            end_if_asked()
            strike()
            done.append("in hand")
            end_if_asked()
            done.append("never")
        with ending.putting_in_order():
            done.append("put in order")

    with pytest.raises(Stopped):
        work()
    assert done == ["in hand", "put in order"]


def test_errors_of_ours_are_passed_on_when_all_is_in_order_and_others_at_once() -> None:
    done = []

    def work(error: Exception) -> None:
        with patient() as ending:
            raise error
        with ending.putting_in_order():
            done.append("put in order")

    ours = CodecError("a stream")
    with pytest.raises(CodecError) as raised:
        work(ours)
    assert raised.value is ours
    assert done == ["put in order"]
    with pytest.raises(RuntimeError, match="no error of ours"):
        work(RuntimeError("no error of ours"))
    assert done == ["put in order"]


@pytest.mark.parametrize(("ended_by", "raised"), [("", "full"), ("a stream", "a stream"), ("Ctrl-C", "full")])
def test_an_error_while_it_is_put_in_order_hides_no_error_before(ended_by: str, raised: str) -> None:
    def work() -> None:
        with patient() as ending:
            if ended_by:
                raise Stopped if ended_by == "Ctrl-C" else CodecError(ended_by)
        with ending.putting_in_order():
            raise StoreError("full")

    with pytest.raises((CodecError, StoreError), match=raised):
        work()


def test_the_second_one_ends_at_once() -> None:
    done = []

    def work() -> None:
        with patient():
            strike()
            strike()
            done.append("never")
        done.append("never")

    with pytest.raises(KeyboardInterrupt) as raised:
        work()
    assert not isinstance(raised.value, Stopped)
    assert not done


def test_python_handles_it_as_before_when_the_context_is_left() -> None:
    with patient():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        strike()


def test_a_way_of_ones_own_stays() -> None:
    struck = []
    before = signal.signal(signal.SIGINT, lambda number, frame: struck.append(number))
    try:
        with patient():
            strike()
            assert not is_ending()
    finally:
        signal.signal(signal.SIGINT, before)
    assert struck == [signal.SIGINT]


def test_other_threads_change_nothing() -> None:
    found = []

    def work() -> None:
        with patient():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


def test_one_in_a_callback_strikes_again(capsys: pytest.CaptureFixture[str]) -> None:
    before, done = sys.unraisablehook, []

    def work() -> None:
        with never_lost():
            raise_in_a_callback(KeyboardInterrupt)
            done.append("out of the callback")
            time.sleep(5)
            done.append("never")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["out of the callback"]
    assert sys.unraisablehook is before
    assert capsys.readouterr().err == ""


def test_other_errors_in_callbacks_are_reported_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: reported.append(lost.exc_type))
    with never_lost():
        raise_in_a_callback(ZeroDivisionError)
    assert reported == [ZeroDivisionError]
