"""Subject-disjoint folds."""

import pytest

from codecsim.errors import UsageError
from codecsim.sources.datasets.folds import subject_folds


def test_every_tenth_subject_by_name_is_in_the_same_fold() -> None:
    subjects = [f"S{number:03d}" for number in range(1, 26)]
    folds = subject_folds(reversed(subjects * 2), 10)
    assert list(folds) == subjects
    assert [folds[name] for name in ("S001", "S011", "S021")] == ["fold_0"] * 3
    assert folds["S010"] == "fold_9"
    assert len(set(folds.values())) == 10


@pytest.mark.parametrize("n_folds", [-1, 0, 1, 4])
def test_as_many_folds_as_can_be(n_folds: int) -> None:
    with pytest.raises(UsageError, match=f"{n_folds} folds of 3 subjects: 2 folds or more are allowed, and a subject"):
        subject_folds("abc", n_folds)
