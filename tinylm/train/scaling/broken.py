"""Laws that bend: the broken neural scaling law, and the three phases of a learning curve   (book
section 2.2.4, figure 2.3).

On double logarithmic paper a power law is straight. Real curves have corners: flat while there is
too little data to beat a guess, straight in the middle, flat again near the irreducible error
(Hestness et al. 2017). Caballero et al. 2023 write any number of smooth corners as one formula. The
three phases are the case with one corner and no slope before it. Read next: double_descent.py.
"""

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ShapeError


def broken_power_law(
    x: ArrayLike,
    floor: float,
    b: float,
    c0: float,
    breaks: tuple[tuple[float, float, float], ...] = (),
) -> np.ndarray | float:
    """floor + b x^-c0 prod_i (1 + (x/d_i)^(1/f_i))^(-c_i f_i)   (Caballero, Gupta, Rish & Krueger
    2023)

    x        size, number or array
    floor    limit of the loss for large x;  b  offset
    c0       slope before the first break, on log-log paper and above the floor
    breaks   (c_i, d_i, f_i): change of the slope, its place, and its width in powers of e (a sharp
             corner as f goes to 0)
    returns  loss, of x's shape. Without breaks it is eq. (2.37).
    """
    x = np.asarray(x, float)
    above = np.log(b) - c0 * np.log(x)
    for at, each in enumerate(breaks):
        if len(each) != 3:
            raise ShapeError(
                f"broken_power_law: breaks[{at}] has {len(each)} numbers: "
                "give (c, d, f) for each break"
            )
        c, d, f = each
        # log(1 + (x/d)^(1/f)) without overflow: logaddexp(0, log(x/d) / f)
        above = above - c * f * np.logaddexp(0, np.log(x / d) / f)
    return floor + np.exp(above)


def slope_above_floor(
    x: float, c0: float, breaks: tuple[tuple[float, float, float], ...] = ()
) -> float:
    """d log(y - floor) / d log x: -c0 before the breaks, -(c0 + c_1) after the first, ...

    x, c0, breaks   as in broken_power_law
    returns         of x's shape
    """
    t = np.log(np.asarray(x, float))
    slope = np.full_like(t, -c0)
    for c, d, f in breaks:
        # c times the sigmoid of (t - log d) / f, as sigmoid(z) = (1 + tanh(z/2)) / 2
        slope = slope - c * 0.5 * (1 + np.tanh((t - np.log(d)) / (2 * f)))
    return slope


def three_phases(
    D: float, guess: float, floor: float, onset: float, slope: float, sharpness: float = 0.5
) -> float | np.ndarray:
    """Figure 2.3: floor + (guess - floor) (1 + (D/onset)^(1/f))^(-slope f), f = sharpness
    (Hestness et al. 2017)

    guess    loss of the best guess without data, which a few examples do not beat
    floor    irreducible error;  onset  examples where the power law starts;  slope  of it, positive
    returns  loss, of D's shape
    """
    return broken_power_law(D, floor, guess - floor, 0.0, ((slope, onset, sharpness),))
