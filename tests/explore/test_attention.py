"""The figure holds the weights that the model used, all of them, and draws none blank."""

import numpy as np
import pytest

from tinylm.errors import ConfigError
from tinylm.explore import AtHand, Figure, Unsuitable, encoded, page
from tinylm.explore.attention import figures, packed
from tinylm.generate.measure.attention_paid import attention_weights
from tinylm.generate.measure.attention_traced import Traced, attention_rollout

PROMPT = "To be, or"


def unpacked(flat, T):
    """(..., T (T + 1) / 2) -> (..., T, T)."""
    whole = np.zeros((*flat.shape[:-1], T, T), flat.dtype)
    whole[(..., *np.tril_indices(T))] = flat
    return whole


def random_traced(layers, heads, T, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(layers):
        one = np.tril(rng.random((T, T), np.float32) + 0.01)
        one /= one.sum(axis=-1, keepdims=True)
        weights = np.stack([np.roll(one, head, axis=0) for head in range(heads)])[None]
        weights = np.tril(weights / weights.sum(axis=-1, keepdims=True))
        found.append(Traced(weights, np.tri(T, dtype=bool), None, True, 1.0, weights))
    return found


def test_the_weights_are_the_models(runs):
    at_hand = AtHand(runs("causal"), PROMPT)
    [figure] = figures(at_hand)
    model, ids = at_hand.reading.model, at_hand.reading.ids
    expected = attention_weights(model, ids[None])[:, 0]
    for layer, flat in enumerate(figure.data["weights"]):
        np.testing.assert_allclose(unpacked(flat, len(ids)), expected[layer], atol=1e-6)
    assert figure.data["seen"] is None and figure.data["bias"] is None and not figure.data["half"]


def test_an_encoder_decoder_has_three_figures(runs):
    found = figures(AtHand(runs("sentinels"), "To [MASK] or"))
    shapes = [(len(f.data["queries"]), len(f.data["keys"]), f.data["causal"]) for f in found]
    S, U = shapes[0][0], shapes[1][0]
    assert shapes == [(S, S, False), (U, U, True), (U, S, False)]
    assert [figure.data["rollout"] is None for figure in found] == [False, False, True]


def test_a_bias_by_position_is_in_the_figure(runs):
    at_hand = AtHand(runs("causal", positions="alibi"), PROMPT)
    [figure] = figures(at_hand)
    model, T = at_hand.reading.model, len(at_hand.reading.ids)
    expected = model.position_bias(np.arange(T), np.arange(T)).numpy().reshape(-1, T, T)
    [bias] = figure.data["bias"]  # one for all layers
    np.testing.assert_allclose(unpacked(bias, T), np.tril(expected), atol=1e-6)


def test_rollout_is_that_of_all_heads():
    traced = random_traced(3, 2, 6)
    expected = attention_rollout(np.stack([t.weights[0] for t in traced]))
    for flat, layer in zip(packed(traced)["rollout"], expected):
        np.testing.assert_allclose(unpacked(flat, 6), layer, atol=1e-6)


def test_a_text_that_would_fill_the_memory_is_refused(runs, monkeypatch):
    monkeypatch.setattr("tinylm.explore.attention.LONGEST", 5)
    with pytest.raises(Unsuitable, match="9 tokens: attention is drawn of 5 at most"):
        figures(AtHand(runs("causal"), PROMPT))


def test_layers_can_be_chosen():
    data = packed(random_traced(5, 2, 4), (4, 2))
    assert data["layers"] == [2, 4] and data["all"] == 5 and len(data["weights"]) == 2
    with pytest.raises(ConfigError, match="layers 0 to 4"):
        packed(random_traced(5, 2, 4), (5,))


def test_a_long_text_travels_as_float16_and_a_longer_one_in_fewer_layers(monkeypatch):
    traced = random_traced(4, 2, 8)
    monkeypatch.setattr("tinylm.explore.attention.WIDE", 4 * 36 * 2 * 3)  # three layers of 36 pairs
    data = packed(traced)
    assert (
        data["half"] and data["weights"][0].dtype == np.float16 and data["layers"] == [0, 1, 2, 3]
    )
    monkeypatch.setattr("tinylm.explore.attention.MOST", 2 * 36 * 2 * 2)
    assert packed(traced)["layers"] == [0, 3]


def test_the_page_of_a_tiny_model_is_below_a_megabyte():
    # 128 tokens, 4 layers of 4 heads: what `tinylm train` makes without a setting.
    assert len(encoded(packed(random_traced(4, 4, 128)))) < 1_000_000


# In the browser.


def test_the_picture_follows_the_chosen_head_and_token(open_page, runs):
    at_hand = AtHand(runs("causal"), PROMPT)
    figure = figures(at_hand)[0]
    opened = open_page(page("attention", [figure])).drawn()
    view = opened.page
    view.get_by_role("button", name="layer 0, head 1", exact=True).click()
    T = len(at_hand.reading.ids)
    view.locator(".paid button").nth(T - 2).click()
    expected = unpacked(figure.data["weights"][0], T)[1, T - 2]
    view.get_by_text("as a table").click()
    view.locator("tbody tr").first.wait_for()
    cells = view.locator("tbody tr td:nth-child(3)").all_inner_texts()
    assert cells[-1] == "hidden"
    found = [float(text.replace("−", "-")) for text in cells[:-1]]
    np.testing.assert_allclose(found, expected[:-1], atol=1e-6)
    before = view.locator(".stage").inner_html()
    view.locator(".paid button").nth(T - 2).press("ArrowLeft")
    assert view.locator(".stage").inner_html() != before
    view.locator(".paid button").nth(T - 3).press("ArrowRight")
    assert opened.complaints == []


def test_all_heads_of_512_tokens_are_drawn_when_they_are_seen(open_page):
    T = 512
    data = packed(random_traced(2, 8, T)) | {"same": True}
    data["queries"] = data["keys"] = [{"text": f" w{i}"} for i in range(T)]
    figure = Figure("attention", "Attention", "of random weights", data)
    opened = open_page(page("long", [figure])).drawn()
    for name in ("layer 0, head 0", "layer 1, rollout"):  # the second is out of sight at first
        button = opened.page.get_by_role("button", name=name, exact=True)
        button.scroll_into_view_if_needed()
        button.locator("canvas").wait_for()
    blank = opened.page.evaluate(
        """() => [...document.querySelectorAll("canvas")].filter((canvas) => {
        const pixels = new Uint32Array(canvas.getContext("2d")
            .getImageData(0, 0, canvas.width, canvas.height).data.buffer);
        return new Set(pixels).size < 10; }).length"""
    )
    assert blank == 0 and opened.complaints == [] and opened.requests == []
