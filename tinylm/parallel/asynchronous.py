"""Asynchronous training: nobody waits, and gradients are of parameters that have changed since
(book section 2.2.3).

A worker fetches the parameters, computes a gradient, and adds it to what the parameters are by
then. With d updates of others in between its gradient has the staleness d:

    theta_{t+1} = theta_t - lr g(theta_{t-d})

On a quadratic of curvature c this converges if and only if 0 < lr c < 2 sin(pi / (4 d + 2)): 2 for
d = 0, 1 for d = 1, about pi / (2 d) for many. So n workers that take turns (d = n - 1) need a rate
that falls like 1 / n, which is what waiting for nobody costs.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from tinylm.errors import ConfigError


def stale_descent(
    gradient: Callable, start: Sequence[float], rate: float, delay: int, steps: int
) -> np.ndarray:
    """Gradient descent with gradients that are `delay` updates old.

    gradient  function of parameters (n,) -> (n,)
    start     (n,), also used as the parameters before the first step
    returns   (steps + 1, n): the parameters after 0 .. `steps` updates
    raises    ConfigError for a negative delay
    """
    if delay < 0:
        raise ConfigError(f"stale_descent: delay {delay}, must be 0 or more updates")
    theta = np.array(start, np.float64)
    past = deque([theta] * (delay + 1), maxlen=delay + 1)  # the oldest first
    found = [theta]
    for _ in range(steps):
        theta = theta - rate * np.asarray(gradient(past[0]))
        past.append(theta)
        found.append(theta)
    return np.array(found)


def largest_stable_rate(curvature: float, delay: int) -> float:
    """The rate below which stale descent on a quadratic converges: 2 sin(pi / (4 d + 2)) / c."""
    return 2 * math.sin(math.pi / (4 * delay + 2)) / curvature


def asynchronous_descent(
    gradient: Callable, start: Sequence[float], rate: float, times: Sequence[float], updates: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Workers that fetch, compute and update without waiting.

    gradient  function of (parameters (n,), number of the update) -> (n,)
    times     of each worker, seconds for a gradient: list of numbers, or of functions
              (number of its gradient) -> seconds
    updates   how many in all
    returns   (parameters after each update (updates + 1, n), staleness of each (updates,), seconds
              until the last)
    """
    if not times:
        raise ConfigError("asynchronous_descent: no workers: give the times of at least one")
    theta = np.array(start, np.float64)
    done = [0] * len(times)  # gradients of each worker

    def duration(worker):
        time = times[worker]
        return time(done[worker]) if callable(time) else time

    # (when it is ready, worker, its parameters, the update at which it fetched them)
    running = [(duration(worker), worker, theta, 0) for worker in range(len(times))]
    heapq.heapify(running)
    found, staleness, now = [theta], [], 0.0
    for update in range(updates):
        now, worker, old, fetched = heapq.heappop(running)
        theta = theta - rate * np.asarray(gradient(old, update))
        staleness.append(update - fetched)
        found.append(theta)
        done[worker] += 1
        heapq.heappush(running, (now + duration(worker), worker, theta, update + 1))
    return np.array(found), np.array(staleness), now
