"""What the checker says: of right functions, of each way to be wrong, and of a user's own code."""

import json

import numpy as np
import pytest

from tinylm import autograd as ad
from tinylm.autograd import Tensor
from tinylm.autograd.check.gradcheck import (
    assert_gradients,
    check_code,
    gradcheck,
    run_checks,
    select,
)
from tinylm.autograd.engine.tensor import record
from tinylm.backend import Random
from tinylm.errors import ConfigError, GraphError

POINT = np.array([-2.0, 0.5, 3.0])


def softplus(x):
    return ad.log(1 + ad.exp(x))


def wrong_square(x, factor=3.0):
    """x**2 with a derivative of factor * x instead of 2 x."""
    return record("wrong_square", x.data**2, (x,), lambda g, node: [g * factor * x.data])


def test_a_right_function_passes_to_third_order():
    report = gradcheck(softplus, POINT, order=3)
    assert (
        report and report.first < 1e-9 and report.second < 1e-9
    )  # far inside the 1e-7 that is asked
    assert "ok" in str(report)
    assert json.loads(json.dumps(report.as_dict()))["verdict"] == "ok"


def test_a_wrong_derivative_is_named_with_place_and_both_numbers():
    report = gradcheck(wrong_square, POINT)
    assert not report and report.verdict == "wrong"
    assert "index (0,)" in report.detail  # -2: the engine gives -6, truth is -4
    assert report.first == pytest.approx(1 / 3)  # |6 - 4| / 6


def test_an_error_of_one_in_a_million_is_found():
    assert not gradcheck(lambda x: wrong_square(x, 2 * (1 + 1e-6)), POINT)


def test_assert_gradients_raises_with_the_report():
    assert_gradients(softplus, POINT, order=2)
    with pytest.raises(AssertionError, match="the engine gives"):
        assert_gradients(wrong_square, POINT)


def test_one_wrong_element_among_ten_thousand_is_found_along_random_directions():
    def lossy(x):
        kept = np.ones(x.size)
        kept[1234] = 0
        return record("lossy", np.sin(x.data), (x,), lambda g, node: [g * np.cos(x.data) * kept])

    x = np.linspace(-1, 1, 10_000)
    assert gradcheck(ad.sin, x)
    report = gradcheck(lossy, x)
    assert report.verdict == "wrong" and "random direction" in report.detail


def test_a_kink_is_called_a_kink():
    report = gradcheck(ad.relu, np.array([1.0, 0.0, -2.0]))
    assert not report and report.verdict == "kink"
    assert "near a kink or jump at input 'argument 0' index (1,)" in report.detail


def test_a_jump_is_called_so_too():
    report = gradcheck(lambda x: x + ad.where(x.data > 0, 1.0, 0.0), np.array([0.0]))
    assert report.verdict == "kink"


def test_a_wrong_rule_is_not_excused_as_a_kink():
    assert gradcheck(lambda x: wrong_square(x) + ad.abs(x), np.array([2.0])).verdict == "wrong"


def test_close_to_a_kink_smaller_steps_decide():
    # 3e-4 lies inside the first step of 1e-3 and outside the later ones
    assert gradcheck(ad.relu, np.array([3e-4, -3e-4]))


def test_a_steep_function_is_measured_with_smaller_steps():
    # log at 2e-3: the first five points reach below zero
    with np.errstate(invalid="ignore", divide="ignore"):
        assert gradcheck(ad.log, np.array([2e-3]))


def test_a_severed_graph_is_wrong():
    report = gradcheck(lambda x: x * x.detach(), POINT)
    assert report.verdict == "wrong"
    report = gradcheck(lambda x: (x * 2, Tensor(x.data**2)), POINT)  # one output recorded, one not
    assert report.verdict == "wrong"


def test_nothing_recorded_is_an_error_that_says_so():
    with pytest.raises(GraphError, match="recorded nothing"):
        gradcheck(lambda x: Tensor(x.data * 2), POINT)
    with pytest.raises(GraphError, match="no input to differentiate"):
        gradcheck(ad.neg, np.array([1, 2]))
    with pytest.raises(GraphError, match="no floating-point Tensor"):
        gradcheck(lambda x: x.data, POINT)


def test_a_second_order_cut_from_the_graph_is_found_only_at_order_two():
    def cut(x):  # the slope is kept as a constant
        return record("cut", x.data**2, (x,), lambda g, node: [g * (2 * x.data)])

    assert gradcheck(cut, POINT)
    assert gradcheck(cut, POINT, order=2).verdict == "wrong"


def test_a_function_that_is_not_repeatable_is_told():
    noise = np.random.default_rng(0)
    report = gradcheck(lambda x: x * noise.normal(), POINT)
    assert report.verdict == "not repeatable"


def test_random_streams_of_tinylm_are_rewound_between_runs():
    stream = Random(0)
    assert gradcheck(lambda x: ad.dropout(x, 0.5, stream), np.ones(20), order=2)
    assert gradcheck(ad.dropout, np.ones(20), 0.5, Random(1))


def test_constants_pass_through():
    def picky(x, ids, nothing, flag, scale=None):
        assert ids.dtype.kind == "i" and nothing is None and flag is True
        return ad.getitem(x, ids) * scale

    assert gradcheck(picky, POINT, np.array([0, 0, 2]), None, True, scale=np.array(2.0))


def test_tensors_that_require_a_gradient_are_checked_wherever_they_stand():
    bias = Tensor(np.ones(2), requires_grad=True)
    assert (
        gradcheck(ad.linear, np.ones((3, 2)), np.eye(2), bias=bias).points
        > gradcheck(ad.linear, np.ones((3, 2)), np.eye(2), bias=bias.detach()).points
    )
    assert gradcheck(lambda parts: ad.concatenate(parts), [POINT, POINT])  # and inside lists


def test_the_given_arrays_are_left_as_they_were():
    x, y = POINT.copy(), Tensor(POINT.copy(), requires_grad=True)
    gradcheck(ad.mul, x, y, order=2)
    np.testing.assert_array_equal(x, POINT)
    np.testing.assert_array_equal(y.data, POINT)
    assert y.grad is None


class Scale:
    """A module of one float32 parameter."""

    def __init__(self, factor=2.0):
        self.gain = Tensor(np.ones(3, np.float32), requires_grad=True)
        self.factor = factor

    def named_parameters(self):
        return {"gain": self.gain}

    def __call__(self, x):
        return wrong_square(self.gain, self.factor) * x


def test_the_parameters_of_a_module_are_checked_in_float64_and_put_back():
    module = Scale()
    memory = module.gain.data
    assert gradcheck(module, POINT)
    assert gradcheck(lambda m, x: m(x), module, POINT)  # as an argument too
    assert module.gain.data is memory and memory.dtype == np.float32
    assert "'gain' index" in gradcheck(Scale(3.0), POINT).detail


def test_a_function_may_differentiate_inside():
    def product(x, v):
        g = ad.grad((x * x * x).sum(), [x], create_graph=True)[0]
        return ad.grad((g * v).sum(), [x], create_graph=True)[0]  # Hessian times v = 6 x v

    assert gradcheck(product, POINT, np.array([1.0, 2.0, -1.0]), order=2)


@pytest.mark.parametrize("mode", ["full", "directions"])
def test_both_modes_accept_and_reject(mode):
    assert gradcheck(ad.softmax, np.ones((2, 3)), mode=mode, order=2)
    assert not gradcheck(wrong_square, POINT, mode=mode)


def test_unknown_settings_are_errors():
    with pytest.raises(ConfigError, match="mode 'fast'"):
        gradcheck(ad.exp, POINT, mode="fast")
    with pytest.raises(ConfigError, match="dtype int64"):
        gradcheck(ad.exp, POINT, dtype="int64")


def test_a_short_dtype_that_is_widened_or_rounded_twice_is_rejected():
    assert gradcheck(ad.exp, POINT, dtype="float32")
    assert (
        "float64 result"
        in gradcheck(lambda x: ad.mul(x, np.ones(3)), POINT, dtype="float32").detail
    )
    half = gradcheck(
        lambda x: (
            ad.astype(ad.astype(x, np.float16), x.dtype) * 1.0 if x.dtype == np.float32 else x
        ),
        np.array([1.2345]),
        dtype="float32",
    )
    assert half.verdict == "wrong"  # float16 keeps 11 bits of 1.2345


def test_names_select_by_name_pattern_or_part():
    entries = dict.fromkeys(["exp", "softmax", "log_softmax", "attention", "self_attention"])
    assert select("attention", entries) == ["attention"]  # a whole name means itself alone
    assert select(["*max"], entries) == ["softmax", "log_softmax"]
    assert select(["attent", "exp"], entries) == ["exp", "attention", "self_attention"]
    assert select(None, entries) == list(entries)
    with pytest.raises(ConfigError, match="did you mean softmax"):
        select(["sofmax"], entries)


def test_run_checks_gives_one_row_per_entry_and_dtype():
    rows = run_checks(["exp", "softmax"], dtypes=("float64", "float32"))
    assert [(r.name, r.dtype, r.verdict) for r in rows] == [
        ("exp", "float64", "ok"),
        ("exp", "float32", "ok"),
        ("softmax", "float64", "ok"),
        ("softmax", "float32", "ok"),
    ]
    assert (
        rows[0].second is not None and rows[1].second is None
    )  # short dtypes are compared at first order


USER = """
from tinylm import autograd as ad
from tinylm.autograd import Tensor
import numpy as np

def cube(x): return x * x * x
def weighted(x, y): return x * y
def wide(x): return ad.reshape(x, (7, 11))
def with_example(x): return ad.reshape(x, (7, 11)) * 2
with_example.example = lambda rng: (rng.normal(size=77),)
class Module:
    def __init__(self): self.w = Tensor(np.ones(4), requires_grad=True)
    def parameters(self): return [self.w]
    def __call__(self, x): return x * self.w
"""


@pytest.fixture
def user(tmp_path):
    def write(extra=""):
        (tmp_path / "mine.py").write_text(USER + extra)
        return f"{tmp_path}/mine.py"

    return write


@pytest.mark.parametrize("name", ["cube", "weighted", "with_example", "Module"])
def test_a_users_code_is_checked_with_guessed_or_given_inputs(user, name):
    (report,) = check_code(f"{user()}:{name}", order=2)
    assert report, report


def test_the_inputs_of_the_file_serve_every_callable(user):
    path = user("def inputs(rng): return rng.normal(size=77)\n")
    assert check_code(f"{path}:wide")[0]


def test_a_user_is_told_how_to_give_inputs(user):
    with pytest.raises(ConfigError, match=r"(?s)wide does not take 1 arrays.*def inputs\(rng\)"):
        check_code(f"{user()}:wide")


@pytest.mark.parametrize(
    "where, said",
    [
        ("mine.py", "write package.file:callable"),
        ("nowhere.py:f", "cannot open"),
        ("no.such.package:f", "cannot open"),
    ],
)
def test_a_place_that_is_not_there_is_one_clear_error(where, said):
    with pytest.raises(ConfigError, match=said):
        check_code(where)


def test_a_name_that_is_not_there_lists_those_that_are(user):
    with pytest.raises(ConfigError, match="it has .*cube"):
        check_code(f"{user()}:cubes")
