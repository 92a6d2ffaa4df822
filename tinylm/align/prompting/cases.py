"""Gradient-check cases of what learns from a reward."""

from tinylm.align.prompting.controller import ANSWER, DECOMPOSE, Controller, Course, course_loss
from tinylm.align.prompting.prompt_policy import prompt_loss
from tinylm.autograd.registry import call, register
from tinylm.pretrain.cases import Reader

# Of unequal lengths: a mean over courses is not one over decisions.
COURSES = [Course(2, [DECOMPOSE, ANSWER], 0.0), Course(1, [ANSWER], 0.0)]
PROMPTS = [[2, 1, 0], [1]]
ADVANTAGES = [1.5, -0.8]


def _controller(rng):
    controller = Controller(2)
    controller.logits.data[...] = rng.normal(size=controller.logits.shape)
    return controller


register(
    "align.course_loss",
    lambda controller: course_loss(controller, COURSES, ADVANTAGES),
    lambda rng: [call(_controller(rng))],
    covers=(),
    source="book eq. 4.24",
)
register(
    "align.prompt_loss",
    lambda policy: prompt_loss(policy, [0], PROMPTS, ADVANTAGES),
    lambda rng: [call(Reader(rng))],
    covers=(),
    source="book eq. 4.24; Deng et al. 2022",
)
