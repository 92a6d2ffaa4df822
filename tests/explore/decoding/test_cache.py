"""What lies in the slots and how many bytes it takes is what the caches say; losses are the
model's.
"""

import numpy as np
import pytest

from tests.explore.models import at_hand, numbers_of, unfolded
from tinylm.explore import page
from tinylm.explore.decoding.cache import (
    BLOCK,
    SINKS,
    WINDOW,
    caches_of,
    figures,
    losses,
    traced,
)
from tinylm.generate.cache.key_value import cache_bytes
from tinylm.generate.cache.quantized import quantized_cache_bytes

SIZES = 2, 4, 8  # layers, key-value heads, head width
T = 20


@pytest.fixture(scope="module")
def steps():
    return {one["name"]: traced(one, *SIZES, T)["steps"] for one in caches_of(*SIZES)}


def test_a_cache_of_everything_keeps_the_order(steps):
    for t, step in enumerate(steps["everything"]):
        assert step["slots"] == list(range(t)) and step["evicted"] == -1
        assert step["bytes"] == cache_bytes(2, 1, 4, 8, t, 4)


def test_a_window_forgets_the_oldest_and_stops_growing(steps):
    for t, step in enumerate(steps["window"]):
        assert sorted(step["slots"]) == list(range(max(0, t - WINDOW), t))
        assert step["evicted"] == (t - 1 - WINDOW if t > WINDOW else -1)
        assert step["bytes"] == cache_bytes(2, 1, 4, 8, min(t, WINDOW), 4)
    # A ring: the newest token stands where the oldest was.
    assert steps["window"][WINDOW + 1]["slots"][0] == WINDOW


def test_sinks_stay(steps):
    last = steps["window and sinks"][-1]
    assert last["slots"][:SINKS] == list(range(SINKS))
    assert sorted(last["slots"][SINKS:]) == list(range(T - WINDOW + SINKS, T))


def test_blocks_are_reserved_whole(steps):
    for t, step in enumerate(steps["blocks"]):
        assert step["slots"] == list(range(t))
        assert step["bytes"] == cache_bytes(2, 1, 4, 8, -(-t // BLOCK) * BLOCK, 4)


def test_fewer_bits_and_shared_layers_take_fewer_bytes(steps):
    for t in range(T + 1):
        assert steps["8 bits"][t]["bytes"] == quantized_cache_bytes(2, 1, 4, 8, t)
        assert steps["8 bits"][t]["slots"] == list(range(t))
        assert 2 * steps["shared by two layers"][t]["bytes"] == steps["everything"][t]["bytes"]


def test_losses_are_the_model_s_and_a_window_changes_them_only_once_it_is_full():
    model = at_hand().model
    ids = np.arange(T) * 7 % 256
    found = losses(model, ids)
    logits = np.float64(model(ids[None]).numpy()[0, :-1])
    scores = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -scores[np.arange(T - 1), ids[1:]]
    np.testing.assert_allclose(found["everything"], expected, rtol=1e-4)  # float32
    for name in ("window", "window and sinks"):
        # Token t is predicted from t tokens: all of them, while they are no more than the slots.
        np.testing.assert_allclose(found[name][:WINDOW], found["everything"][:WINDOW], rtol=1e-4)
        assert not np.allclose(found[name][WINDOW:], found["everything"][WINDOW:], rtol=1e-4)
    assert np.abs(found["8 bits"] - found["everything"]).max() < 0.01


def test_a_model_whose_keys_have_an_order_has_no_losses_here():
    data = figures(at_hand(positions="alibi"))[0].data
    assert data["losses"] == {} and len(data["tokens"]) == 32


# In the browser.


def test_the_page_has_the_numbers_and_steps_there_and_back(open_page):
    figure = figures(at_hand())[0]
    opened = open_page(page("caches", [figure]), width=360).drawn()
    held, lost = (unfolded(opened.page, which) for which in (0, 1))
    expected = [
        [
            x
            for one in figure.data["caches"]
            for x in (one["steps"][t]["bytes"], len(one["steps"][t]["slots"]))
        ]
        for t in range(33)
    ]
    assert numbers_of(held) == expected
    np.testing.assert_allclose(
        np.array(numbers_of(lost)).T, list(figure.data["losses"].values()), rtol=1e-6
    )
    stage = opened.page.locator("article[data-name='window and sinks']")
    seen = [stage.inner_html()]
    opened.page.get_by_role("button", name="Step back").focus()
    for _ in range(6):
        opened.page.keyboard.press("ArrowLeft")
        seen.append(stage.inner_html())
    assert len(set(seen)) == 7 and "was" in seen[0]
    for before in seen[-2::-1]:
        opened.page.keyboard.press("ArrowRight")
        assert stage.inner_html() == before
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert opened.complaints == [] and opened.requests == []
