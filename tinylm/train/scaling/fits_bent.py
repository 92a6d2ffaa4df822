"""Two laws that are no sum of powers, for the same fit: Kaplan's joint law and the broken law
(book section 2.2.4).

Their derivatives are by hand, like those of fits.py, and compared with autograd in the tests. Read
next: intervals.py.
"""

import itertools

import numpy as np

from tinylm.train.scaling.fits import Law


def _kaplan(theta, logs):
    # log L = d s, s = logsumexp(u, v), u = (a/d) (n - log N), v = c - log D, with d = alpha_D, a =
    # alpha_N. With p, q the shares of u and v in the sum:  dL/da = p (n - log N),  dL/dd = s - p u,
    # dL/dn = p a,  dL/dc = q d.
    a, d, n, c = theta.T[:, :, None]
    far, v = n - logs[:, 0], c - logs[:, 1]
    u = a / d * far
    s = np.logaddexp(u, v)
    p, q = np.exp(u - s), np.exp(v - s)
    return d * s, np.stack([p * far, s - p * u, p * a + 0 * u, q * d], axis=-1)


def _kaplan_starts(logs, y):
    # For a pair of slopes, N_c and D_c such that each limit alone gives the median loss at the
    # middle of the data:  log L = a (log N_c - log N).
    level = np.median(y)
    N, D = logs.mean(0)
    slopes = itertools.product((0.03, 0.1, 0.3), repeat=2)
    return np.array([(a, d, N + level / a, D + level / d) for a, d in slopes])


# L(N, D) = [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D   (Kaplan et al. 2020, eq. 1.5)
KAPLAN = Law(
    ("alpha_N", "alpha_D", "log N_c", "log D_c"),
    _kaplan,
    _kaplan_starts,
    lambda theta: {
        "alpha_N": float(theta[0]),
        "alpha_D": float(theta[1]),
        "N_c": float(np.exp(theta[2])),
        "D_c": float(np.exp(theta[3])),
    },
)


def broken_law(breaks: int = 1) -> Law:
    """The broken law as a Law   (Caballero et al. 2023).

    breaks   how many; theta is log floor, log b, c0, then c, log d, log f of each
    """
    names = ["log floor", "log b", "c0"]
    for i in range(1, breaks + 1):
        names += [f"c{i}", f"log d{i}", f"log f{i}"]
    names = tuple(names)

    def log_loss(theta, logs):
        # y = logaddexp(e, z), z = log b - c0 t - sum_i c_i f_i softplus(m_i), m_i = (t - log
        # d_i)/f_i. With s_i = sigmoid(m_i): dz/dc_i = -f_i softplus(m_i),  dz/d log d_i = c_i s_i,
        # dz/d log f_i = -c_i f_i (softplus(m_i) - m_i s_i).
        t, e = logs[:, 0], theta[:, 0, None]
        z = theta[:, 1, None] - theta[:, 2, None] * t
        slopes = [np.ones_like(z), -t + 0 * z]
        for i in range(breaks):
            c = theta[:, 3 + 3 * i, None]
            d = theta[:, 4 + 3 * i, None]
            f = np.exp(theta[:, 5 + 3 * i, None])
            m = (t - d) / f  # (S, n)
            soft = np.logaddexp(0, m)  # softplus
            s = np.exp(-np.logaddexp(0, -m))  # sigmoid
            z = z - c * f * soft
            slopes += [-f * soft, c * s, -c * f * (soft - m * s)]
        y = np.logaddexp(e, z)
        share = np.exp(z - y)  # dy/dz; dy/de is the rest
        return y, np.stack([1 - share] + [share * slope for slope in slopes], axis=-1)

    def starts(logs, y):
        t, low, high = logs[:, 0], y.min(), y.max()
        # The place of the corners in the data, the change of slope, the floor as a share of the
        # lowest loss, and the first slope.
        choices = (0.2, 0.4, 0.6, 0.8), (-0.3, 0.3, 1.0), (0.1, 0.5, 0.95), (0.0, 0.3)
        grid = []
        for place, change, floor, c0 in itertools.product(*choices):
            corners = np.quantile(t, [(i + place) / breaks for i in range(breaks)])
            row = [low + np.log(floor), high + c0 * t.min(), c0]
            for corner in corners:
                row += [change, corner, np.log(0.3)]
            grid.append(row)
        return np.array(grid)

    def read(theta):
        corners = []
        for c, d, f in theta[3:].reshape(-1, 3):
            corners.append((float(c), float(np.exp(d)), float(np.exp(f))))
        return {
            "floor": float(np.exp(theta[0])),
            "b": float(np.exp(theta[1])),
            "c0": float(theta[2]),
            "breaks": tuple(corners),
        }

    return Law(names, log_loss, starts, read)
