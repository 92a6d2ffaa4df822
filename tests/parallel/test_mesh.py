"""Layouts: which rank is where, and which have what in common."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError, WorkerError
from tinylm.parallel.communicate.simulator import simulate
from tinylm.parallel.mesh import AXES, Layout, Mesh, parse_layout

sizes = st.integers(1, 3)


flags = {flag: st.booleans() for flag in ("sequence", "heads")}


@given(layout=st.builds(Layout, dp=sizes, tp=sizes, pp=sizes, cp=sizes, ep=sizes, **flags))
def test_every_rank_has_a_place_of_its_own(layout):
    places = [tuple(layout.coordinates(rank).values()) for rank in range(layout.size)]
    sizes = layout.dp * layout.tp * layout.pp * layout.cp * layout.ep
    assert len(set(places)) == layout.size == sizes
    assert parse_layout(str(layout)) == layout


def ranks_of(comm, layout):
    """The ranks in each group of this one."""
    mesh = Mesh(comm, layout)
    groups = {axis: getattr(mesh, axis) for axis in (*AXES, "data", "ends")}
    return {
        name: None if group is None else group.all_gather(np.array(comm.rank)).tolist()
        for name, group in groups.items()
    }


def test_groups_are_the_ranks_that_differ_along_their_axes():
    found = simulate(ranks_of, 24, Layout(dp=2, tp=2, pp=3, cp=2)).results
    # rank = tp + 2 cp + 4 dp + 8 pp
    assert found[0] == {
        "tp": [0, 1],
        "cp": [0, 2],
        "ep": [0],
        "dp": [0, 4],
        "pp": [0, 8, 16],
        "data": [0, 2, 4, 6],
        "ends": [0, 16],
    }
    assert found[13]["dp"] == [9, 13] and found[13]["ends"] is None
    assert found[23]["ends"] == [7, 23] and found[23]["pp"] == [7, 15, 23]


def test_ranks_with_other_experts_share_the_batch_and_read_as_data_ranks_do():
    def groups(comm):
        mesh = Mesh(comm, Layout(dp=2, tp=2, cp=2, ep=2))
        found = mesh.ep, mesh.rows, mesh.data, mesh.readers
        return [group.all_gather(np.array(comm.rank)).tolist() for group in found]

    # rank = tp + 2 cp + 4 ep + 8 dp
    found = simulate(groups, 16).results
    assert found[0] == [[0, 4], [0, 4, 8, 12], [0, 2, 8, 10], [0, 2, 4, 6, 8, 10, 12, 14]]
    assert found[7] == [[3, 7], [3, 7, 11, 15], [5, 7, 13, 15], [1, 3, 5, 7, 9, 11, 13, 15]]


def test_one_stage_has_no_ends():
    assert simulate(ranks_of, 2, Layout(tp=2)).results[1]["ends"] is None


@pytest.mark.parametrize(
    "text, layout",
    [
        ("", Layout()),
        ("dp=2", Layout(dp=2)),
        (" tp=4, pp=2,sequence", Layout(tp=4, pp=2, sequence=True)),
        ("cp=03", Layout(cp=3)),
        ("pp=2,chunks=2,schedule=gpipe", Layout(pp=2, chunks=2, schedule="gpipe")),
        ("cp=2,heads", Layout(cp=2, heads=True)),
    ],
)
def test_layouts_are_read(text, layout):
    assert parse_layout(text) == layout


@pytest.mark.parametrize(
    "text",
    ["dp", "dp=", "dp=-1", "xp=2", "dp=2;tp=2", "sequence=1", "heads=2", "dp=1.5", "schedule"],
)
def test_what_is_no_layout_is_refused_with_what_is(text):
    with pytest.raises(ConfigError, match="is not one of dp=N, tp=N, pp=N, cp=N"):
        parse_layout(text)


def test_other_mistakes_are_named():
    with pytest.raises(ConfigError, match="dp is given twice"):
        parse_layout("dp=1,dp=2")
    with pytest.raises(ConfigError, match="tp=0, must be 1 or more"):
        parse_layout("tp=0")
    with pytest.raises(ConfigError, match="no schedule 'fast', choose one of naive, gpipe, 1f1b"):
        parse_layout("schedule=fast")
    with pytest.raises(ConfigError, match="zb-h1 and zb-h2 have one chunk a stage, not 2"):
        parse_layout("pp=2,chunks=2,schedule=zb-h1")


@pytest.mark.parametrize(
    "layout, ranks, nearest",
    [
        (Layout(dp=2, tp=2), 6, "dp=3,tp=2"),
        (Layout(tp=4, pp=2), 6, "tp=3,pp=2"),
        (Layout(tp=2, sequence=True), 3, "dp=3"),
        (Layout(tp=2, sequence=True), 4, "dp=2,tp=2,sequence"),
        (Layout(pp=4), 1, "dp=1"),
        (Layout(cp=2, heads=True), 4, "dp=2,cp=2,heads"),
        (Layout(cp=2, heads=True), 3, "dp=3"),
    ],
)
def test_another_number_of_ranks_is_told_a_layout_that_fits(layout, ranks, nearest):
    message = f"layout {layout}: needs {layout.size} ranks, there are {ranks}; {nearest} fits"
    with pytest.raises(WorkerError, match=message):
        simulate(lambda comm: Mesh(comm, layout), ranks)
