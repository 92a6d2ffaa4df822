"""Deliberate errors share one base, and can also be caught as the built-in kind they are."""

import inspect

import pytest

from tinylm import errors

ALL = [e for _, e in inspect.getmembers(errors, inspect.isclass) if e.__module__ == errors.__name__]


@pytest.mark.parametrize("error", ALL)
def test_every_error_is_a_tinylm_error_with_a_docstring_and_keeps_its_message(error):
    assert issubclass(error, errors.TinylmError) and error.__doc__
    assert str(error("matmul: 8 != 6")) == "matmul: 8 != 6"


@pytest.mark.parametrize(
    "error, builtin",
    [
        (errors.ShapeError, ValueError),
        (errors.DtypeError, TypeError),
        (errors.GraphError, RuntimeError),
        (errors.DataError, ValueError),
        (errors.ConfigError, ValueError),
        (errors.CheckpointError, RuntimeError),
        (errors.DeviceError, RuntimeError),
        (errors.MissingExtra, ImportError),
    ],
)
def test_errors_are_also_their_builtin_kind(error, builtin):
    assert issubclass(error, builtin)
