"""The encodings of the figure are the library's, and the run's own are the run's."""

import numpy as np
import pytest

from tests.explore.models import at_hand, numbers_of, unfolded
from tinylm.autograd import Tensor, no_grad, rotary
from tinylm.explore import page
from tinylm.explore.input.positions import FAR, SHOWN, figures, position_encodings
from tinylm.models.encoder.config import EncoderConfig
from tinylm.models.encoder.encoder import Encoder
from tinylm.nn.position.bias import POSITION_BIASES, alibi_slopes
from tinylm.nn.position.rotary import rotary_angles
from tinylm.nn.position.sinusoidal import sinusoidal
from tinylm.nn.position.t5_buckets import t5_bucket


def encodings(**settings):
    data = position_encodings(at_hand(**settings).model)
    return {one["name"]: one for one in data["encodings"]}


def test_every_bias_of_the_library_is_there():
    names = list(encodings())
    assert names == ["sinusoidal", "rope", *POSITION_BIASES]
    assert "learned" in encodings(positions="learned")


def test_waves_are_the_library_s_and_their_products_depend_on_the_distance():
    one = encodings()["sinusoidal"]
    np.testing.assert_array_equal(one["rows"], sinusoidal(np.arange(SHOWN), 32, dtype=np.float64))
    for n in (0, 1, 7):
        # sin a sin b + cos a cos b = cos(a - b): the same for every pair that is n apart.
        np.testing.assert_allclose(np.diagonal(one["scores"][0], -n), one["far"][0, n], atol=1e-12)


def test_learned_rows_are_the_table_of_the_run():
    thing = at_hand(positions="learned")
    data = position_encodings(thing.model)
    one = {one["name"]: one for one in data["encodings"]}["learned"]
    table = thing.model.positions.table.weight.numpy()
    np.testing.assert_array_equal(one["rows"], np.float64(table[:SHOWN]))
    assert data["used"] == "learned" and one["values"] == "learned by this run"
    assert one["far"].shape == (1, 48)  # as many positions as the run has
    assert one["far"][0, 0] == pytest.approx(1)  # a row with itself


def test_rope_scores_are_those_of_rotated_queries_and_keys():
    one = encodings(rope_scaling={"name": "linear", "factor": 4.0})["rope"]
    q, k = np.ones((2, FAR, 8))
    cos, sin = rotary_angles(np.arange(FAR) / 4, 8, dtype=np.float64)  # four times as slow
    with no_grad():
        turned = [rotary(Tensor(x), cos=cos, sin=sin).numpy() for x in (q, k)]
    expected = turned[0] @ turned[1].T / 8
    np.testing.assert_allclose(one["far"][0], expected[:, 0], atol=1e-12)
    np.testing.assert_allclose(one["more"]["periods"][0], 4 * 2 * np.pi)
    lower = np.tri(SHOWN, dtype=bool)
    np.testing.assert_allclose(one["scores"][0][lower], expected[:SHOWN, :SHOWN][lower], atol=1e-12)


def test_alibi_is_a_line_for_each_head():
    one = encodings()["alibi"]
    np.testing.assert_allclose(one["far"], -alibi_slopes(4)[:, None] * np.arange(FAR))
    assert one["values"] == "computed"


def test_buckets_are_t5_s():
    one = encodings()["t5"]
    np.testing.assert_array_equal(one["more"]["buckets"], t5_bucket(np.arange(FAR)))
    # Distances of one bucket have one number.
    same = one["more"]["buckets"] == one["more"]["buckets"][100]
    assert same.sum() > 1 and (one["far"][:, same] == one["far"][:, [100]]).all()


def test_an_encoder_s_table_begins_where_its_positions_do():
    sizes = {"context": 40, "n_layer": 1, "n_head": 2, "d_model": 16}
    model = Encoder(EncoderConfig(50, first_position=2, **sizes))
    data = position_encodings(model)
    one = {one["name"]: one for one in data["encodings"]}["learned"]
    table = np.float64(model.positions.table.weight.numpy())
    np.testing.assert_array_equal(one["rows"], table[2 : 2 + SHOWN])
    turned = Encoder(EncoderConfig(50, positions="rope", rope_base=100.0, **sizes))
    one = {one["name"]: one for one in position_encodings(turned)["encodings"]}["rope"]
    cos, _ = rotary_angles(np.arange(SHOWN), 8, 100.0, np.float64)
    np.testing.assert_allclose(one["rows"], cos, atol=1e-12)


@pytest.mark.parametrize("name", ["offset", "t5", "kerple_log", "fire"])
def test_a_bias_that_the_run_has_learned_is_the_run_s(name):
    thing = at_hand(positions=name)
    for parameter in thing.model.position_bias.parameters():
        parameter.assign_(parameter.data + 0.3)
    data = position_encodings(thing.model)
    one = {one["name"]: one for one in data["encodings"]}[name]
    assert one["values"] == "learned by this run" and data["used"] == name
    with no_grad():
        expected = thing.model.position_bias(np.arange(SHOWN), np.arange(SHOWN)).numpy()
    lower = np.tri(SHOWN, dtype=bool)
    np.testing.assert_array_equal(one["scores"][:, lower], np.float64(expected)[:, lower])


def test_no_key_comes_after_its_query():
    for one in encodings().values():
        upper = ~np.tri(SHOWN, dtype=bool)
        assert np.isnan(one["scores"][:, upper]).all()


# In the browser.


def test_the_page_shows_the_numbers_and_the_slider_moves_all(open_page):
    figure = figures(at_hand())[0]
    opened = open_page(page("positions", [figure])).drawn()
    cards = opened.page.locator("article")
    assert cards.count() == len(figure.data["encodings"])
    alibi = opened.page.locator("article[data-name=alibi]")
    shown = np.array(numbers_of(unfolded(alibi)))
    expected = {one["name"]: one for one in figure.data["encodings"]}["alibi"]
    np.testing.assert_allclose(shown.T, expected["far"], rtol=1e-6)
    stage = opened.page.locator(".stage")
    slider = opened.page.get_by_role("slider").first
    before = stage.inner_html()
    slider.press("ArrowRight")
    assert stage.inner_html() != before
    slider.press("ArrowLeft")
    assert stage.inner_html() == before
    assert opened.complaints == [] and opened.requests == []


def test_no_matrix_is_blank_in_light_or_dark(open_page):
    html = page("positions", figures(at_hand()))
    for dark in (False, True):
        opened = open_page(html, dark=dark).drawn()
        colors = opened.page.evaluate(
            """() => [...document.querySelectorAll("canvas")].map((canvas) => {
            const context = canvas.getContext("2d");
            const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
            return new Set(new Uint32Array(data.buffer)).size })"""
        )
        assert len(colors) == len(figures(at_hand())[0].data["encodings"])
        assert min(colors) > 8  # shades, in every matrix
