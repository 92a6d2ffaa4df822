"""Logits are the model's, the lens ends in them, and the page filters as the library does."""

import numpy as np
import pytest

from tinylm.explore import AtHand, Unsuitable, page
from tinylm.explore.next_token import BEST, figures, lens_of
from tinylm.generate.sample import Sampling, filtered, probabilities

PROMPT = "To be, or"


def test_the_logits_are_the_models(runs):
    at_hand = AtHand(runs("causal"), PROMPT)
    [figure] = figures(at_hand)
    ids, model = at_hand.reading.ids, at_hand.reading.model
    expected = model(ids[None]).numpy()[0]
    assert len(figure.data["logits"]) == len(ids)  # all of a short text
    for place, logits in figure.data["logits"].items():
        np.testing.assert_allclose(logits, expected[int(place)], atol=1e-6)


def test_the_lens_ends_in_the_models_own_prediction(runs):
    data = figures(AtHand(runs("causal"), PROMPT))[0].data
    lens = data["lens"]
    assert lens["layers"] == 2 and lens["ids"].shape == (2, len(data["places"]), BEST)
    for n, place in enumerate(data["places"]):
        share = probabilities(data["logits"][str(place)][None])[0]
        np.testing.assert_allclose(lens["probabilities"][-1, n], np.sort(share)[::-1][:BEST])
        assert lens["rank"][-1, n] == 1 and lens["final"][-1, n] == share.max()


def test_a_rank_counts_the_tokens_that_are_more_probable():
    first, last = np.array([[3.0, 1.0, 2.0]] * 1), np.array([[0.0, 5.0, 1.0]])
    lens = lens_of([first, last])
    np.testing.assert_array_equal(lens["rank"], [[3], [1]])
    np.testing.assert_allclose(lens["final"][0], np.exp(1) / np.exp([3, 1, 2]).sum())


def test_every_token_that_is_shown_has_its_text(runs):
    data = figures(AtHand(runs("causal"), PROMPT))[0].data
    assert {str(i) for i in np.ravel(data["lens"]["ids"])} <= set(data["names"])


def test_an_encoder_is_read_at_its_masks(runs):
    at_hand = AtHand(runs("masked"), "To [MASK] or [MASK]")
    data = figures(at_hand)[0].data
    reading = at_hand.reading
    np.testing.assert_array_equal(data["places"], reading.hidden)
    expected = reading.model(reading.ids[None]).numpy()[0, reading.hidden]
    np.testing.assert_allclose(list(data["logits"].values()), expected, atol=1e-5)
    assert data["lens"]["layers"] == 2


def test_a_prenorm_encoder_is_normed_once_at_every_layer(runs):
    at_hand = AtHand(runs("masked", norm_placement="pre"), "To [MASK]")
    data = figures(at_hand)[0].data
    logits = data["logits"][str(data["places"][0])]
    assert data["lens"]["ids"][-1, 0, 0] == logits.argmax()


def test_an_encoder_that_predicts_no_tokens_is_unsuitable(runs):
    with pytest.raises(Unsuitable, match="no head that predicts tokens"):
        figures(AtHand(runs("replaced"), "To be"))


def test_an_encoder_decoder_has_bars_and_no_lens(runs):
    data = figures(AtHand(runs("sentinels"), PROMPT))[0].data
    assert data["lens"] is None and data["why"] and data["logits"]


# In the browser: the script's filters against NumPy's, on logits with ties and wide gaps.

SETTINGS = [
    {},
    {"temperature": 0.0},
    {"temperature": 0.3},
    {"temperature": 1.7, "top_k": 7},
    {"top_k": 1},
    {"top_p": 0.9},
    {"top_p": 0.01},
    {"min_p": 0.05},
    {"temperature": 0.05, "top_k": 40, "top_p": 0.7, "min_p": 0.2},
    {"temperature": 2.0, "top_k": 300, "top_p": 0.999, "min_p": 1e-6},
]
NAMES = {"temperature": "temperature", "top_k": "topK", "top_p": "topP", "min_p": "minP"}


def drawn_logits():
    rng = np.random.default_rng(5)
    rows = rng.normal(0, [[0.1], [2], [8], [30]], (4, 400)).astype(np.float32)
    rows[0, :200] = rows[0, 200:]  # ties
    rows[1, 7] = -np.inf
    return rows


@pytest.fixture
def view(open_page, runs):
    return open_page(page("tokens", figures(AtHand(runs("causal"), PROMPT)))).drawn()


def test_the_page_filters_as_the_library_does(view):
    for row in drawn_logits():
        for chosen in SETTINGS:
            kept = filtered(row[None], Sampling(**chosen))
            if chosen.get("temperature") == 0:  # greedy: the best token alone
                kept = np.where(np.arange(400) == row.argmax(), row, -np.inf)[None]
            expected = probabilities(kept)[0]
            found = view.page.evaluate(
                """([row, chosen]) => {
                const scores = Float32Array.from(row, (z) => z ?? -Infinity);
                const { scores: left } = tinylm.sampling.filtered(scores, chosen);
                return Array.from(tinylm.sampling.probabilities(left)); }""",
                [
                    [float(z) if np.isfinite(z) else None for z in row],
                    {NAMES[name]: value for name, value in chosen.items()},
                ],
            )
            np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=str(chosen))
            np.testing.assert_array_equal(np.array(found) > 0, expected > 0)


def test_the_table_of_the_page_holds_numpys_probabilities(view, runs):
    at_hand = AtHand(runs("causal"), PROMPT)
    logits = at_hand.reading.model(at_hand.reading.ids[None]).numpy()[0, -1:]
    slider = view.page.get_by_role("slider", name="top-p")
    slider.fill("0.5")
    view.page.get_by_text("as a table").click()
    view.page.locator("details tbody tr").first.wait_for()
    cells = view.page.locator("details tbody tr").all_inner_texts()
    own = np.sort(probabilities(logits)[0])[::-1]
    after = np.sort(probabilities(filtered(logits, Sampling(top_p=0.5)))[0])[::-1]
    for line, p, q in zip(cells, own, after):
        _, _, first, second = line.split("\t")
        assert float(first) == pytest.approx(p, abs=1e-6)
        assert second == "cut by top-p" if q == 0 else float(second) == pytest.approx(q, abs=1e-6)
    assert len(cells) == 50 and view.complaints == []


def test_reset_restores_the_picture(view):
    before = view.page.locator(".stage").inner_html()
    view.page.get_by_role("slider", name="temperature").fill("0.2")
    view.page.get_by_role("slider", name="min-p").fill("0.3")
    assert view.page.locator(".stage").inner_html() != before
    view.page.get_by_role("button", name="Reset").click()
    assert view.page.locator(".stage").inner_html() == before


def test_a_cell_of_the_lens_moves_the_bars(view, runs):
    before = view.page.locator(".context").inner_text()
    cell = view.page.get_by_role("button", name="layer 0, place 2:")
    cell.click()
    after = view.page.locator(".context").inner_text()
    assert after != before and before.startswith(after.removesuffix(" ?"))
    cell.press("ArrowRight")
    view.page.keyboard.press("ArrowLeft")
    assert view.page.locator(".context").inner_text() == after
