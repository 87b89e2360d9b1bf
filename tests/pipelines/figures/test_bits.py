"""The picture of bits stacks the ledger, and shows what falls to the padding."""

import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import codecsim
from codecsim.bitstream import PURPOSES
from codecsim.errors import UsageError
from codecsim.store import Sweep
from pipelines import tables
from pipelines.figures.bits import _bits_figure, plot_bits
from pipelines.figures.style import STYLE
from tests.clips import carphone_faces, write_corpus
from tests.pipelines.pictures import assert_text_is_legible, caption_of, legend_of

QPS = {3: (20, 30, 40), 4: (20, 40)}
"""Of the points of the same two sequences, by factor."""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences at two factors and three QPs; a third at one of these points; other bit rates and another codec."""
    folder = tmp_path_factory.mktemp("bits")
    clip = carphone_faces()
    two = write_corpus(folder / "two.h5", {"anna": clip[:12], "bo": clip[20:40]})
    third = write_corpus(folder / "third.h5", {"cem": clip[60:64]})
    out = folder / "sweep.h5"
    codecsim.sweep(two, out=out, scales=[3, 4], qp=[20, 30, 40])
    codecsim.sweep(third, out=out, scales=[4], qp=[30])
    codecsim.sweep(two, out=out, scales=[3], bitrate_kbps=[20, 80])
    codecsim.sweep(third, out=out, scales=[4], qp=[30], codec=["vp9"])
    return out


def drawn(path: Path, codec: str = "x264", mode: str = "qp") -> Figure:
    with Sweep(path) as sweep, mpl.rc_context(STYLE):
        return _bits_figure(sweep, None, codec=codec, mode=mode)


def bars(axis: Any) -> dict[str, list[Any]]:
    """Bars by purpose."""
    return {container.get_label(): list(container) for container in axis.containers}


def test_bars_stack_the_ledger_up_to_the_bits_per_transmitted_pixel(swept: Path) -> None:
    figure = drawn(swept)
    with Sweep(swept) as sweep:
        for axis, s in zip(figure.axes, (3, 4), strict=True):
            pixels = 32 * (96 // s) ** 2
            held = np.isin(sweep.column("sequence"), ("anna", "bo")) & (sweep.column("mode") == "qp")
            tops = dict.fromkeys(QPS[s], 0.0)
            for purpose, stack in bars(axis).items():
                for bar, qp in zip(stack, QPS[s], strict=True):
                    rows = held & (sweep.column("scale") == s) & (sweep.column("qp_requested") == qp)
                    assert rows.sum() == 2
                    assert bar.get_height() == pytest.approx(sweep.column(purpose)[rows].sum() / pixels)
                    assert bar.get_y() == pytest.approx(tops[qp])
                    assert bar.get_x() + bar.get_width() / 2 == pytest.approx(qp)
                    tops[qp] += bar.get_height()
            for qp, top in tops.items():
                rows = held & (sweep.column("scale") == s) & (sweep.column("qp_requested") == qp)
                assert top == pytest.approx(8 * sweep.column("n_bytes")[rows].sum() / pixels)


def test_purposes_are_stacked_in_the_order_of_the_ledger_and_named_as_in_its_table(swept: Path) -> None:
    figure = drawn(swept)
    shown = list(bars(figure.axes[0]))
    assert shown == [purpose for purpose in PURPOSES if purpose in shown]
    assert {"bits_parameter_sets", "bits_sei", "bits_nal_overhead", "bits_slice_data_i"} <= set(shown)
    assert "bits_other" not in shown
    assert sorted(legend_of(figure)) == sorted(
        [*(tables.SHORT[purpose] for purpose in shown), "per coded pixel (bpp_coded)"]
    )
    assert figure.axes[0].get_ylabel() == "bits per transmitted pixel (bpp_lr)"
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_the_dashed_line_is_bits_per_coded_pixel(swept: Path) -> None:
    figure = drawn(swept)
    for axis, s, padding in zip(figure.axes, (3, 4), (1, 1024 / 576), strict=True):
        (line,) = axis.lines
        assert line.get_linestyle() == "--"
        np.testing.assert_allclose(line.get_xdata(), QPS[s])
        tops = [sum(stack[index].get_height() for stack in bars(axis).values()) for index in range(len(QPS[s]))]
        np.testing.assert_allclose(np.array(tops) / line.get_ydata(), padding)
    assert [axis.get_title() for axis in figure.axes] == [
        "s = 3: 32×32, not padded",
        "s = 4: 24×24 coded as 32×32 (1.78 ×)",
    ]


def test_bars_differ_in_print_too(swept: Path) -> None:
    stacks = bars(drawn(swept).axes[0]).values()
    looks = [(stack[0].get_facecolor(), stack[0].get_hatch()) for stack in stacks]
    assert len({colour for colour, _ in looks}) == len(looks)
    assert sum(bool(hatch) for _, hatch in looks) >= 2


def test_the_caption_says_what_is_pooled_and_left_out(swept: Path) -> None:
    assert caption_of(drawn(swept)) == (
        "2 sequences, 32 frames; x264, QP 20–40; above the dashed line: the padding's share, every coded pixel taken "
        "alike; 1 point of other sequences left out"
    )


def test_bit_rates_stand_at_even_distances(swept: Path) -> None:
    (axis,) = drawn(swept, mode="bitrate").axes
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["20", "80"]
    assert list(axis.get_xticks()) == [0, 1]
    assert axis.get_xlabel() == "bit rate asked for (kbit/s)"


def test_codecs_and_modes_are_not_stacked_beside_each_other(swept: Path, tmp_path: Path) -> None:
    message = (
        "3 codecs or modes in one picture would not be told apart; choose one of codec='vp9', mode='qp'; "
        "codec='x264', mode='bitrate'; codec='x264', mode='qp'"
    )
    with pytest.raises(UsageError, match=re.escape(message)):
        plot_bits(swept, tmp_path / "b.png")
    with pytest.raises(UsageError, match="no sequence 'dan'; it holds anna, bo, cem"):
        plot_bits(swept, tmp_path / "b.png", sequences=["dan"])
    with pytest.raises(UsageError, match="2 codecs or modes"):
        plot_bits(swept, tmp_path / "b.png", sequences=["cem"])
    assert len(plot_bits(swept, tmp_path / "b.png", codec="vp9")) == 2


def test_text_is_legible(swept: Path) -> None:
    assert_text_is_legible(drawn(swept))
    assert_text_is_legible(drawn(swept, codec="vp9"))


def test_the_picture_is_written_as_png_and_pdf_and_the_same_each_time(swept: Path, tmp_path: Path) -> None:
    first, second = (plot_bits(swept, tmp_path / name, codec="x264", mode="qp") for name in ("a.png", "b.png"))
    assert [path.name for path in first] == ["a.png", "a.pdf"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
