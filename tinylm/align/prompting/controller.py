"""When to decompose and when to answer: a controller that learns by policy gradient   (book
section 3.2.2, decomposition as a decision process).

    state      the problem and its solved sub-problems: here how many parts it had and has left
    actions    answer now (S_0), or generate and solve one more sub-problem (G_i, S_i)
    reward     1 if the answer is right, less a cost for each sub-problem

A problem of N parts, k of them solved as sub-problems, is answered rightly with the probability
s^k q(N - k): each sub-answer is right with probability s, and an answer in one go with q(parts). So
the return of every course is a finite sum, and the policy gradient that is sampled has an exact
counterpart. Read first: prompt/decompose/plan.py; policy/surrogates.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.align.policy.baselines import leave_one_out
from tinylm.align.policy.surrogates import policy_gradient_loss
from tinylm.autograd import Tensor, concatenate, exp, log_softmax
from tinylm.backend import to_device
from tinylm.errors import ConfigError
from tinylm.nn import Module
from tinylm.nn.linear import undecayed
from tinylm.optim import AdamW, FlatParameters

ANSWER, DECOMPOSE = 0, 1


class Controller(Module):
    """pi(action | parts at first, parts left): a table of logits.

    parts  most parts of a problem
    """

    def __init__(self, parts: int) -> None:
        self.logits = undecayed(Tensor(np.zeros((parts + 1, parts + 1, 2)), requires_grad=True))

    def logprobs(self) -> Tensor:
        """log pi(action | N, n): (parts + 1, parts + 1, 2) Tensor."""
        return log_softmax(self.logits)

    def decide(self, parts: int, left: int, rng: np.random.Generator | None = None) -> int:
        """The action in a state: drawn, or without a generator the most probable one."""
        logp = self.logprobs().data[parts, left]
        if rng is None:
            return int(logp.argmax())
        return int(rng.random() < np.exp(logp[DECOMPOSE]))


def controlled(generate: Callable, decide: Callable) -> Callable:
    """G_i of plan.decompose that ends where the controller answers: function (p_0, pairs).

    generate  G_i: (p_0, pairs) -> the next sub-problem, or None
    decide    function (p_0, pairs) -> ANSWER or DECOMPOSE
    """

    def following(problem, pairs):
        if decide(problem, pairs) == ANSWER:
            return None
        return generate(problem, pairs)

    return following


@dataclass(frozen=True)
class Course:
    """One way through a problem.

    parts    N;  actions  list: DECOMPOSE k times, then ANSWER if the controller chose to
    reward   of its end
    """

    parts: int
    actions: list
    reward: float

    @property
    def states(self) -> list[tuple[int, int]]:
        """(N, parts left) before each action."""
        return [(self.parts, self.parts - i) for i in range(len(self.actions))]


@dataclass(frozen=True)
class DecompositionProcess:
    """What decomposition is worth.

    direct  (parts + 1,) q(n): probability that an answer in one go is right with n parts left
    solved  s, probability that a sub-answer is right
    cost    of each sub-problem
    raises  ConfigError for what is no probability, or a cost below 0
    """

    direct: tuple
    solved: float
    cost: float

    def __post_init__(self) -> None:
        if not all(0 <= p <= 1 for p in (*self.direct, self.solved)) or self.cost < 0:
            raise ConfigError(
                f"DecompositionProcess: direct {self.direct} and solved {self.solved} are "
                f"probabilities, and the cost {self.cost} is 0 or more"
            )

    @property
    def parts(self) -> int:
        """The most parts of a problem."""
        return len(self.direct) - 1

    def expected(self, parts: int, k: int) -> float:
        """E[return] of k sub-problems before the answer: s^k q(N - k) - c k."""
        return self.solved**k * self.direct[parts - k] - self.cost * k

    def courses(self, parts: int) -> list[Course]:
        """All courses through a problem with their expected rewards: list of N + 1 Course.

        After N sub-problems nothing is left, and the answer is no choice any more.
        """
        found = []
        for k in range(parts + 1):
            actions = [DECOMPOSE] * k + [ANSWER] * (k < parts)
            found.append(Course(parts, actions, self.expected(parts, k)))
        return found

    def sample(self, controller: Controller, parts: int, rng: np.random.Generator) -> Course:
        """A course drawn with the controller, and whether its answer was right: Course."""
        actions, intact = [], True
        while len(actions) < parts:
            actions.append(controller.decide(parts, parts - len(actions), rng))
            if actions[-1] == ANSWER:
                break
            intact = intact and rng.random() < self.solved
        k = actions.count(DECOMPOSE)
        right = intact and rng.random() < self.direct[parts - k]
        return Course(parts, actions, float(right) - self.cost * k)

    def best(self, parts: int) -> tuple[int, float]:
        """The best number of sub-problems and its return, by dynamic programming: (k, value).

        From the end: V = max(answer now, one more sub-problem), where k of them have been solved.
        """
        k, value = parts, self.expected(parts, parts)
        for now in reversed(range(parts)):
            answered = self.expected(parts, now)
            if answered >= value:  # of equals the one with fewer calls
                k, value = now, answered
        return k, value


def course_logprob(controller: Controller, course: Course) -> Tensor:
    """log pi of the actions of a course, () Tensor: the environment's part has no gradient."""
    logp = controller.logprobs()
    chosen = [logp[N, n, action] for (N, n), action in zip(course.states, course.actions)]
    return concatenate([one.reshape(1) for one in chosen], axis=0).sum()


def performance(
    controller: Controller, process: DecompositionProcess, sizes: Sequence[int]
) -> Tensor | float:
    """J = mean over problem sizes of E[return], exact and differentiable: () Tensor."""
    total = 0.0
    for parts in sizes:
        for course in process.courses(parts):
            total = total + exp(course_logprob(controller, course)) * course.reward
    return total / len(sizes)


def course_loss(
    controller: Controller, courses: Sequence[Course], advantages: np.ndarray
) -> Tensor:
    """- mean over courses of A log pi(course): REINFORCE   (book eq. 4.24)

    advantages  (B,) constants
    returns     Tensor ()
    Check: tinylm gradcheck align.course_loss
    """
    logp = controller.logprobs()
    T = max(len(course.actions) for course in courses)
    index, counted = np.zeros((3, len(courses), T), np.int64), np.zeros((len(courses), T), bool)
    for b, course in enumerate(courses):
        n = len(course.actions)
        index[:2, b, :n] = np.transpose(course.states)
        index[2, b, :n] = course.actions
        counted[b, :n] = True
    index, counted = (to_device(array, logp.device) for array in (index, counted))
    picked = logp[index[0], index[1], index[2]]  # (B, T)
    return policy_gradient_loss(picked, advantages, counted, "fixed", len(courses))


def train_controller(
    process: DecompositionProcess,
    sizes: Sequence[int],
    steps: int = 300,
    group: int = 16,
    learning_rate: float = 0.1,
    seed: int = 0,
    controller: Controller | None = None,
) -> Controller:
    """A controller trained with REINFORCE: each size has `group` courses a step.

    sizes    numbers of parts, each at least 1
    group    courses of a size, whose mean reward without its own is each one's baseline
    returns  Controller
    """
    controller = controller or Controller(process.parts)
    optimizer = AdamW(FlatParameters(controller.parameters()), weight_decay=0.0)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        courses = [process.sample(controller, N, rng) for N in sizes for _ in range(group)]
        rewards = np.reshape([course.reward for course in courses], (len(sizes), group))
        advantages = (rewards - leave_one_out(rewards)).ravel()
        controller.zero_grad()
        course_loss(controller, courses, advantages).backward()
        optimizer.step(learning_rate)
    return controller
