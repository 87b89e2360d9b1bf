"""The grid: keys that change with everything that the bits depend on, batches, and what is refused before any work."""

from dataclasses import replace
from pathlib import Path

import pytest

from codecsim.codecs import EncoderSettings
from codecsim.corpus import Sequence
from codecsim.errors import UsageError
from codecsim.grid import batches, content_key, expand

ANNA = Sequence(Path("a.h5"), "anna", 100, 25.0, "anna", "dev", "test", "", "", "00" * 32, ())
X264 = EncoderSettings()


def test_a_key_changes_with_all_that_the_bits_depend_on_and_with_nothing_else() -> None:
    def key(sequence: Sequence, settings: EncoderSettings, scale: int, value: float) -> str:
        return expand([sequence], [settings], [scale], [value])[0].key

    base = key(ANNA, X264, 3, 24)
    assert base == key(replace(ANNA, corpus=Path("b.h5"), name="bo", subject="bo", split=""), X264, 3, 24.0)
    assert base != content_key(ANNA.digest, ANNA.fps, X264, 3, 24, encoder="another build")
    others = [
        key(replace(ANNA, digest="11" * 32), X264, 3, 24),
        key(replace(ANNA, fps=30.0), X264, 3, 24),
        key(ANNA, X264, 4, 24),
        key(ANNA, X264, 3, 25),
        key(ANNA, replace(X264, mode="crf"), 3, 24),
        key(ANNA, replace(X264, bframes=0), 3, 24),
        key(ANNA, replace(X264, preset="slow"), 3, 24),
        key(ANNA, replace(X264, raw=(("ref", "1"),)), 3, 24),
        key(ANNA, replace(X264, codec="x265"), 3, 24),
    ]
    assert len({base, *others}) == len(others) + 1


def test_the_grid_is_the_product_without_repetition() -> None:
    jobs = expand([ANNA, replace(ANNA, name="bo")], [X264, X264], [3, 4, 3], [18, 24, 18])
    assert len(jobs) == 2 * 1 * 2 * 2
    assert str(jobs[0]) == "anna/x264/s3/qp18"
    assert len({job.identity for job in jobs}) == len(jobs)


@pytest.mark.parametrize(
    ("scales", "values", "settings", "message"),
    [
        ([5], [24], X264, "factor s = 5 does not divide the HR side of 96 pixels; allowed: 1, 2, 3, 4, 6, 8, 12, 16"),
        ([3], [60], X264, "QP 60 is outside x264's range of 0 to 51"),
        ([3, 6], [24], EncoderSettings("x265"), "x265 cannot code 16×16 frames: its smallest side is 17 pixels"),
        ([], [24], X264, "a sweep needs at least one factor"),
        ([3], [], X264, "a sweep needs at least one operating value"),
    ],
)
def test_what_can_never_work_is_refused(
    scales: list[int], values: list[float], settings: EncoderSettings, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        expand([ANNA], [settings], scales, values)
    assert message in str(caught.value)


def test_sequences_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="two sequences are named 'anna'"):
        expand([ANNA, ANNA], [X264], [3], [24])


def test_batches_share_sequence_and_factor_and_stay_short() -> None:
    jobs = expand([ANNA, replace(ANNA, name="long", n_frames=7500)], [X264], [3, 4], range(18, 41))
    grouped = batches(jobs)
    assert [job for batch in grouped for job in batch] == jobs
    for batch in grouped:
        assert len({(job.sequence.name, job.scale) for job in batch}) == 1
        assert len(batch) == 1 or len(batch) * batch[0].sequence.n_frames <= 4000
    assert len(grouped) == 2 + 2 * 23
