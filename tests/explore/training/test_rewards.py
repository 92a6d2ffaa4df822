"""Rewards are those of the log, and over-optimization is its exact law."""

import numpy as np
import pytest

from tests.explore.models import numbers_of, unfolded
from tinylm.align.inference.law import kl_bound
from tinylm.explore import AtHand, page
from tinylm.explore.training.rewards import CHOICES, NOISES, figures, gold_and_proxy
from tinylm.train.log import Log


@pytest.mark.parametrize("noise", NOISES)
def test_the_proxy_never_falls_and_the_divergence_has_its_bound(noise):
    kl, proxy, gold = gold_and_proxy(noise).T
    assert (np.diff(proxy) > 0).all() and (np.diff(kl) > 0).all()
    bounds = [kl_bound(n) for n in CHOICES]
    assert (kl <= np.array(bounds) + 1e-12).all()
    if noise == 0:
        np.testing.assert_allclose(proxy, gold)


def test_with_an_error_there_is_an_n_that_is_best():
    for noise in NOISES[1:]:
        gold = gold_and_proxy(noise)[:, 2]
        best = int(gold.argmax())
        assert 0 < best < len(gold) - 1 and gold[-1] < gold[best]
    # The larger the error, the sooner.
    tops = [int(gold_and_proxy(noise)[:, 2].argmax()) for noise in NOISES]
    assert tops == sorted(tops, reverse=True)


def align_log(folder):
    folder.mkdir()
    log = Log(folder)
    log.write("start", step=0, method="dpo", counted="pairs", parameters=10)
    for step in range(1, 4):
        figures_of_step = {
            "margin": 0.1 * step,
            "reward_chosen": -step,
            "reward_rejected": -2 * step,
        }
        log.write("step", step=step, loss=0.7 - 0.1 * step, accuracy=0.5, **figures_of_step)
    log.close()
    return folder


def test_only_a_run_of_align_has_rewards(tmp_path):
    made = figures(AtHand(str(align_log(tmp_path / "dpo"))))
    assert [figure.kind for figure in made] == ["runs", "proxy"]
    keys = [panel["key"] for panel in made[0].data["panels"]]
    assert keys == ["margin", "reward_chosen", "reward_rejected", "accuracy", "loss"]
    log = Log(tmp_path)
    log.write("step", step=1, loss=1.0)
    log.close()
    for name in ("", str(tmp_path)):
        assert [figure.kind for figure in figures(AtHand(name))] == ["proxy"]


# In the browser.


def test_the_page_has_the_numbers_of_both(open_page, tmp_path):
    made = figures(AtHand(str(align_log(tmp_path / "dpo"))))
    opened = open_page(page("align", made), dark=True).drawn()
    margin = opened.page.locator("#align article[data-key=margin]")
    np.testing.assert_allclose(
        numbers_of(unfolded(margin)), [[1, 0.1], [2, 0.2], [3, 0.3]], rtol=1e-6
    )
    part = opened.page.locator("#proxy-1")
    expected = gold_and_proxy(NOISES[1])
    np.testing.assert_allclose(numbers_of(unfolded(part)), expected, rtol=1e-6, atol=1e-7)
    dots = part.locator("svg")
    before = dots.inner_html()
    part.get_by_role("button", name="Step back").click()
    assert dots.inner_html() != before
    part.get_by_role("button", name="Step forward").click()
    assert dots.inner_html() == before
    assert opened.complaints == [] and opened.requests == []
