"""A tour of the autograd engine in five stops: no model, no training, every number checkable with
pencil and paper.

Section 2.1.1's transformer rests on one idea: a program made of differentiable steps can be
differentiated step by step, backwards. Shown here: a chain and its graph; a derivative against a
difference quotient; derivatives of derivatives; why a checker must not use a cotangent of ones; a
fused operation beside its plain twin. Takes under a second. `python scripts/engine_tour.py [--seed
N] [--device cpu|gpu] [--quick]` (always quick).

Measured output (seed 0, CPU):

    1. y = (a b + a)^2 at a = 2, b = 3, as recorded:
       pow ()
         add ()
           mul ()
             leaf a ()
             leaf b ()
           leaf a ()
         a constant
       y = 64, dy/da = 64 (by hand 64), dy/db = 32 (by hand 32)

    2. f(x) = sum(tanh(x) exp(x)): the first derivative against (f(x+h) - f(x-h)) / 2h
       h = 1e-01: difference quotient 1.258948190075, off by 8.8e-04
       h = 1e-03: difference quotient 1.258066053534, off by 8.8e-08
       h = 1e-05: difference quotient 1.258065966014, off by 9.7e-12
       h = 1e-07: difference quotient 1.258065966958, off by 9.5e-10
       the error falls as h^2 until rounding takes over: checkers live between the two

    3. derivatives 1 to 5 of x^5 at 2: 80, 160, 240, 240, 120 (by hand 80, 160, 240, 240, 120)

    4. softmax's gradient for a cotangent of ones: largest entry 0e+00;
       for a random one: 0.40. A checker that sums the output sees nothing.

    5. layer_norm, fused against composed, value and three gradients: largest difference 8.9e-16
       recorded by the fused one:
          layer_norm (4, 8)
            leaf None (4, 8)
            leaf None (8,)
            leaf None (8,)
       by the composed one: 40 lines of the same kind
"""

import argparse

import numpy as np

import tinylm as tl
from tinylm.autograd.kernels import composed


def graph_lines(tensor, indent=0):
    """The recorded operations behind a tensor, one a line, inputs indented below what was made of
    them.
    """

    def lines(edge, depth):
        if edge is None:
            return ["  " * depth + "a constant"]
        if isinstance(edge, tl.Tensor):
            return ["  " * depth + f"leaf {edge.name} {edge.shape}"]
        below = [line for child in edge.inputs for line in lines(child, depth + 1)]
        return ["  " * depth + f"{edge.op} {edge.shape}"] + below

    return lines(tensor._node, indent)


def chain(device):
    """y = (a b + a)^2 at a = 2, b = 3: by hand dy/da = 2 (ab + a)(b + 1) = 64, dy/db = 2 (ab + a) a
    = 32.
    """
    a, b = (
        tl.Tensor(np.float64(v), requires_grad=True, name=n, device=device)
        for v, n in ((2.0, "a"), (3.0, "b"))
    )
    y = (a * b + a) ** 2
    print("1. y = (a b + a)^2 at a = 2, b = 3, as recorded:")
    print("\n".join("   " + line for line in graph_lines(y)))
    y.backward()
    by_a, by_b = a.grad.item(), b.grad.item()
    print(f"   y = {y.item():g}, dy/da = {by_a:g} (by hand 64), dy/db = {by_b:g} (by hand 32)\n")


def difference(device, rng):
    """A derivative against the symmetric difference quotient, for shrinking steps."""
    x = tl.Tensor(rng.normal(size=3), requires_grad=True, device=device)
    f = lambda v: (tl.tanh(v) * tl.exp(v)).sum()  # noqa: E731
    (slope,) = tl.grad(f(x), [x])
    print("2. f(x) = sum(tanh(x) exp(x)): the first derivative against (f(x+h) - f(x-h)) / 2h")
    # The quotient errs by f'''(x) h^2 / 6 from the series and by about 1e-16 / h from rounding.
    for h in (1e-1, 1e-3, 1e-5, 1e-7):
        step = np.array([h, 0, 0])
        at = lambda v: f(tl.Tensor(v, device=device)).item()  # noqa: E731
        quotient = (at(x.numpy() + step) - at(x.numpy() - step)) / (2 * h)
        error = abs(quotient - float(slope.numpy()[0]))
        print(f"   h = {h:.0e}: difference quotient {quotient:.12f}, off by {error:.1e}")
    print("   the error falls as h^2 until rounding takes over: checkers live between the two\n")


def higher_orders(device):
    """x^5 differentiated five times at x = 2: 80, 160, 240, 240, 120."""
    x = tl.Tensor(np.float64(2.0), requires_grad=True, device=device)
    y, values = x**5, []
    for _ in range(5):
        # create_graph records the backward pass itself, so that it can be differentiated again
        (y,) = tl.grad(y, [x], create_graph=True)
        values.append(f"{y.item():g}")
    print(
        f"3. derivatives 1 to 5 of x^5 at 2: {', '.join(values)} (by hand 80, 160, 240, 240, 120)\n"
    )


def blind_checker(device, rng):
    """The gradient of sum(softmax(x)) is exactly zero, so a wrong rule that returns zero passes
    such a test.
    """
    x = tl.Tensor(rng.normal(size=5), requires_grad=True, device=device)
    # sum_i softmax(x)_i = 1 for every x, so its derivative is 0
    (ones,) = tl.grad(tl.softmax(x), [x], tl.Tensor(np.ones(5), device=device))
    (random,) = tl.grad(tl.softmax(x), [x], tl.Tensor(rng.normal(size=5), device=device))
    largest = np.abs(ones.numpy()).max()
    print(f"4. softmax's gradient for a cotangent of ones: largest entry {largest:.0e};")
    largest = np.abs(random.numpy()).max()
    print(f"   for a random one: {largest:.2f}. A checker that sums the output sees nothing.\n")


def twins(device, rng):
    """layer_norm by hand and composed of primitives agree to the last digits, forward and backward."""
    x, gain, bias = (
        tl.Tensor(rng.normal(size=s), requires_grad=True, device=device)
        for s in ((4, 8), (8,), (8,))
    )
    g = tl.Tensor(rng.normal(size=(4, 8)), device=device)
    worst = 0.0
    fast = tl.layer_norm(x, gain, bias)
    plain = composed.layer_norm(x, gain, bias)
    drawn = graph_lines(fast)
    composed_drawn = graph_lines(plain)  # before backward frees the graphs
    # the value and the gradients of x, gain and bias, for one random cotangent
    by_fast = [fast, *tl.grad(fast, [x, gain, bias], g)]
    by_plain = [plain, *tl.grad(plain, [x, gain, bias], g)]
    for a, b in zip(by_fast, by_plain):
        worst = max(worst, float(np.abs(a.numpy() - b.numpy()).max()))
    print(
        "5. layer_norm, fused against composed, value and three gradients: "
        f"largest difference {worst:.1e}"
    )
    print("   recorded by the fused one:")
    print("\n".join("      " + line for line in drawn))
    print(f"   by the composed one: {len(composed_drawn)} lines of the same kind\n")


def main():
    """Walk through the stops."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument(
        "--quick", action="store_true", help="changes nothing: the tour is always quick"
    )
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    chain(args.device)
    difference(args.device, rng)
    higher_orders(args.device)
    blind_checker(args.device, rng)
    twins(args.device, rng)


if __name__ == "__main__":
    main()
