"""Subject-disjoint folds, for data sets that come without a split."""

from collections.abc import Iterable

from codecsim.errors import UsageError


def subject_folds(subjects: Iterable[str], n_folds: int) -> dict[str, str]:
    """Name the fold of each subject: sorted by name, every `n_folds`-th is in the same, ``fold_0`` having the first.

    Raises
    ------
    UsageError
        If there are fewer subjects than folds, or fewer than two folds.
    """
    ordered = sorted(set(subjects))
    if not 2 <= n_folds <= len(ordered):
        raise UsageError(
            f"{n_folds} folds of {len(ordered)} subjects: 2 folds or more are allowed, and a subject for each of them"
        )
    return {subject: f"fold_{number % n_folds}" for number, subject in enumerate(ordered)}
