"""The figure of losses shows what curves say at each rate, and refuses what it would mix up."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from codecsim.channel import Channel, channel
from codecsim.errors import UsageError
from pipelines.curve import Curve
from pipelines.figures.hull import plot_hull
from pipelines.figures.loss import _chosen, _loss_figure, kinds, plot_loss
from pipelines.figures.recognition import plot_figure4
from pipelines.figures.selection import select
from pipelines.figures.style import STYLE
from tests.pipelines.pictures import LEVELS, QPS, assert_text_is_legible, caption_of, ceiling, curve, legend_of

RATES = (0.01, 0.03, 0.1)


def family(method: str, s: int, *, burst: float | None = None, seed: int = 0, **of: Any) -> list[Curve]:
    """A curve of whole streams, and one a rate that is lower by the rate."""
    whole = curve(method, s, **of)
    channels = [channel(rate, burst, seed) for rate in RATES]
    return [whole, *(through(made, method, s, **of) for made in channels)]


def through(made: Channel, method: str, s: int, **of: Any) -> Curve:
    return curve(method, s, levels=[level - made.loss for level in LEVELS], channel=made, **of)


MANY = [*family("lr-3", 3), *family("joint-3", 3), *family("lr-4", 4), ceiling()]


def drawn(
    curves: list[Curve],
    measures: Sequence[str] = ("ccc",),
    qp: Sequence[float] = (),
    burst: float | None = None,
    loss_seed: int | None = None,
    **chosen: str,
) -> Figure:
    with mpl.rc_context(STYLE):
        shown = select(curves, **chosen)
        return _loss_figure(_chosen(curves, shown, qp=qp, burst=burst, loss_seed=loss_seed), measures)


def grid(figure: Figure, n_columns: int) -> np.ndarray:
    return np.array(figure.axes).reshape(-1, n_columns)


def line(axis: Any, label: str) -> Any:
    (found,) = [each for each in axis.lines if each.get_label() == label]
    return found


def test_a_panel_has_a_line_a_method_through_every_rate_and_whole_streams() -> None:
    axes = grid(drawn(MANY), 2)
    assert axes.shape == (3, 2)
    for row, index in zip(axes, (0, 2, 3), strict=True):
        assert row[0].get_ylabel() == f"CCC\nQP {QPS[index]:g}"
        assert [each.get_label() for each in row[0].lines] == ["lr", "joint", "hr on HR frames"]
        assert [each.get_label() for each in row[1].lines] == ["lr", "hr on HR frames"]
        for name in ("lr", "joint"):
            x, y = line(row[0], name).get_data()
            np.testing.assert_allclose(x, [0, 1, 3, 10])
            np.testing.assert_allclose(y, [LEVELS[index] - rate for rate in (0, *RATES)])
            (band,) = [each for each in row[0].collections if each.get_label() == name]
            ends = band.get_paths()[0].get_extents()
            assert (ends.y0, ends.y1) == pytest.approx((LEVELS[index] - 0.1 - 0.05, LEVELS[index] + 0.025))
    assert [axis.get_title() for axis in axes[0]] == ["s = 3 (32×32)", "s = 4 (24×24)"]
    assert [axis.get_xlabel() for axis in axes[-1]] == ["packets lost (%)"] * 2
    assert [tick.get_text() for tick in axes[-1, 0].get_xticklabels()] == ["0", "1", "3", "10"]


def test_values_and_measures_are_chosen() -> None:
    axes = grid(drawn(MANY, measures=("cc", "ccc_within"), qp=(24,)), 2)
    assert [row[0].get_ylabel() for row in axes] == ["CC\nQP 24", "CCC within subjects\nQP 24"]
    np.testing.assert_allclose(line(axes[0, 0], "lr").get_ydata(), [LEVELS[1] + 0.1 - rate for rate in (0, *RATES)])


def test_the_caption_and_the_legend_say_what_is_shown() -> None:
    figure = drawn(MANY)
    assert legend_of(figure) == ["lr", "joint", "hr on HR frames"]
    assert caption_of(figure) == (
        "8 people of dev, 1000 frames; seeds 0, 1; x264, QP 18–36; CCC against the labels (valence); losses "
        "independent of each other, seed 0; bands: 95 % bootstrap over subjects and seeds"
    )
    bursts = drawn(family("lr-3", 3, burst=4.5, seed=7))
    assert "losses in bursts of 4.5 packets on average, seed 7" in caption_of(bursts)


def test_curves_of_other_sequences_than_the_whole_streams_are_left_out_and_counted() -> None:
    some = curve("lr-3", 3, channel=channel(0.2), people=("p0", "p1"))
    figure = drawn([*family("lr-3", 3), some])
    np.testing.assert_allclose(line(figure.axes[0], "lr").get_xdata(), [0, 1, 3, 10])
    assert "1 curve of other sequences left out" in caption_of(figure)


def test_losses_of_other_sequences_alone_are_no_figure() -> None:
    other = [curve("lr-3", 3), curve("lr-3", 3, channel=channel(0.2), people=("p0", "p1"))]
    assert kinds(other) == []
    with pytest.raises(UsageError, match="no method has read these streams with losses by all of its seeds yet"):
        drawn(other)


def test_factors_without_a_common_value_are_drawn() -> None:
    curves = [*family("lr-3", 3), *family("lr-4", 4, values=(20, 22, 26, 28))]
    assert [row[0].get_ylabel()[-5:] for row in grid(drawn(curves), 2)] == ["QP 18", "QP 26", "QP 36"]


def test_one_kind_of_channels_is_drawn() -> None:
    mixed = [*family("lr-3", 3), *family("lr-3", 3, burst=4)[1:], *family("lr-3", 3, burst=4, seed=2)[1:]]
    assert kinds(mixed) == [(0, 0), (4, 0), (4, 2)]
    with pytest.raises(UsageError, match=r"3 kinds of channels .* one of burst=0, loss_seed=0; burst=4, loss_seed=0;"):
        drawn(mixed)
    assert "independent of each other, seed 0" in caption_of(drawn(mixed, burst=0))
    assert "bursts of 4 packets on average, seed 2" in caption_of(drawn(mixed, loss_seed=2))
    with pytest.raises(UsageError, match="no stream came through such a channel; there is burst=0, loss_seed=0; burst"):
        drawn(mixed, burst=5)


@pytest.mark.parametrize("n_factors", [1, 2, 6])
def test_text_is_legible(n_factors: int) -> None:
    scales = (3, 4, 6, 8, 12, 16)[:n_factors]
    names = ("lr", "non-joint", "joint")
    curves = [each for s in scales for name in names for each in family(f"{name}-{s}", s)]
    assert_text_is_legible(drawn([*curves, ceiling()]))


def test_many_rates_have_few_ticks() -> None:
    rates = [0.005 * step for step in range(1, 21)]
    figure = drawn([curve("lr-3", 3), *(through(channel(rate), "lr-3", 3) for rate in rates)])
    texts = [tick.get_text() for tick in figure.axes[-1].get_xticklabels()]
    assert (texts[0], texts[-1]) == ("0", "10")
    assert len(texts) <= 6
    assert_text_is_legible(figure)


def test_refusals(tmp_path: Path) -> None:
    for curves, options, message in (
        (
            [curve("lr-3", 3)],
            {},
            "no method has read these streams with losses by all of its seeds yet; codecsim evaluate FILE --loss",
        ),
        (MANY, {"qp": (24, 25)}, "no curve has 25; there are 18, 24, 30, 36"),
        (MANY, {"measures": ("nothing",)}, "measures=nothing: one or more of rmse, cc, ccc, ccc_within can be drawn"),
        (MANY, {"measures": ("rmse", "cc", "ccc"), "qp": QPS}, "12 rows of measures and values: 9 fit"),
        (
            [each for s in (2, 3, 4, 6, 8, 12, 16) for each in family(f"lr-{s}", s)],
            {},
            r"7 factors \(2, 3, 4, 6, 8, 12, 16\): 6 fit",
        ),
    ):
        with pytest.raises(UsageError, match=message):
            drawn(curves, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=re.escape("name it *.png")):
        plot_loss(MANY, tmp_path / "loss.svg")


def test_pictures_of_rates_show_whole_streams_alone(tmp_path: Path) -> None:
    whole = [each for each in MANY if each.loss == 0]
    for plot in (plot_figure4, plot_hull):
        expected, found = (plot(curves, tmp_path / f"{len(curves)}.png") for curves in (whole, MANY))
        assert found[0].read_bytes() == expected[0].read_bytes()


def test_png_and_pdf_are_written(tmp_path: Path) -> None:
    paths = plot_loss(MANY, tmp_path / "loss.png", qp=(24,))
    assert [path.name for path in paths] == ["loss.png", "loss.pdf"]
    with Image.open(paths[0]) as picture:
        assert np.asarray(picture.convert("L")).std() > 5
