"""The chain of the affect challenges: median filter, centring, scaling and time shift of predictions, where they help.

A chain is fitted on a fold of *train*, never on dev or test: it has four parameters and chooses among 550 settings,
enough to flatter a score. A step is kept only where it raises CCC (all recordings of the fold concatenated) on top of
the steps before it. They are chosen in turn, as published: where predictions lag as long as what they follow lasts, the
filter takes too wide a window. Filter and shift act within each recording, whose frames are in order of time and evenly
spaced at `fps`, whatever frames of others stand between them.

Source: Valstar et al. 2016, "AVEC 2016: depression, mood, and emotion recognition workshop and challenge"; Trigeorgis
et al. 2016, "Adieu features? End-to-end speech emotion recognition using a deep convolutional recurrent network". Both
filter over 0.4 to 20 s, and shift later by 0.04 to 10 s.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from codecsim.errors import MetricError
from recognition.metrics import ccc
from recognition.moments import Floats, Integers, Labels, labelled_frames, numbered

MEDIAN_SECONDS = tuple(round(0.4 * step, 1) for step in range(1, 51))
"""Windows that are tried, 0.4 to 20 s: what raters trace holds for seconds, and a minute would flatten it."""

SHIFT_LIMIT_SECONDS = 10.0
"""Farthest shift that is tried: raters lag by 2 to 6 s, seldom by more."""

SHIFT_STEP_SECONDS = 0.04
"""Step of the shifts: a frame of AVEC's 25 Hz; a frame where frames are longer."""

_LEAST_GAIN = 1e-6  # in CCC; what rounding alone brings is far below, what matters far above


@dataclass(frozen=True)
class Chain:
    """Steps that were kept, in order: filter, centre, scale, shift. The defaults are those of steps that were not.

    Attributes
    ----------
    median_seconds : window of the median filter, in s; 0 without
    offset : added to the predictions, in their unit; 0 without centring
    scale : what deviations from `pivot` are multiplied by; 1 without scaling
    pivot : mean of the fold's predictions after centring, in their unit
    shift_seconds : how much later each prediction is moved, in s; earlier where negative; 0 without
    ccc_before, ccc_after : on the fold that the chain was fitted on; NaN where not defined
    """

    median_seconds: float = 0.0
    offset: float = 0.0
    scale: float = 1.0
    pivot: float = 0.0
    shift_seconds: float = 0.0
    ccc_before: float = float("nan")
    ccc_after: float = float("nan")

    def apply(self, predicted: npt.ArrayLike, *, recordings: Labels, fps: float) -> Floats:
        """Predictions after the chain.

        Parameters
        ----------
        predicted : shape=(T,), of any recordings, in the unit of those that the chain was fitted on
        recordings : shape=(T,), which recording each frame is of
        fps : frames per second

        Returns
        -------
        predicted : float64, shape=(T,). The first or last value of a recording stands where a shift leaves nothing

        Raises
        ------
        MetricError
            If the shape is another, a prediction is not finite, or `fps` is not positive.
        """
        values = _series(predicted)
        return self._applied(values, _tracks(recordings, len(values), fps), fps)

    def _applied(self, values: Floats, tracks: list[Integers], fps: float) -> Floats:
        window = 2 * round(self.median_seconds * fps / 2) + 1  # odd, so that it has a middle
        shift = round(self.shift_seconds * fps)
        done = np.empty_like(values)
        for frames in tracks:
            smooth = median_filter(values[frames], size=window, mode="nearest")
            moved = (np.arange(len(frames)) - shift).clip(0, len(frames) - 1)
            done[frames] = self.pivot + self.scale * (smooth[moved] + self.offset - self.pivot)
        return done

    def explain(self) -> str:
        """What was kept, and what it gained, in one line."""
        later = "later" if self.shift_seconds > 0 else "earlier"
        steps = [
            (self.median_seconds != 0, f"median over {self.median_seconds:g} s"),
            (self.offset != 0, f"centred by {self.offset:+.3f}"),
            (self.scale != 1, f"scaled by {self.scale:.3f} about {self.pivot:.3f}"),
            (self.shift_seconds != 0, f"shifted {abs(self.shift_seconds):.2f} s {later}"),
        ]
        kept = ", ".join(said for is_kept, said in steps if is_kept)
        return (
            f"{kept or 'nothing kept'}; CCC {self.ccc_before:.3f} → {self.ccc_after:.3f} on the fold it was fitted on"
        )

    def to_dict(self) -> dict[str, float | None]:
        """The chain for a JSON file; NaN, which JSON lacks, becomes None."""
        return {name: None if np.isnan(value) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "Chain":
        """The chain that `to_dict` gave.

        Raises
        ------
        MetricError
            If names are missing or unknown, or a value is not a number in its range.
        """
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            wrong = ", ".join(sorted(names ^ set(values)))
            raise MetricError(
                f"not the values of a chain: {wrong} missing or unknown; there are {', '.join(sorted(names))}"
            )
        numbers = {}
        for name, value in values.items():
            if value is None and name.startswith("ccc"):
                numbers[name] = float("nan")
            elif isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value):
                numbers[name] = float(value)
            else:
                raise MetricError(f"{name} of a chain is {value!r}, not a number")
        if numbers["median_seconds"] < 0 or numbers["scale"] <= 0:
            raise MetricError(f"a chain needs median_seconds ≥ 0 and scale > 0, not {dict(values)}")
        return cls(**numbers)


def fit(predicted: npt.ArrayLike, target: npt.ArrayLike, *, recordings: Labels, fps: float) -> Chain:
    """Choose the steps of a chain and their parameters.

    Parameters
    ----------
    predicted, target : shape=(T,), in one unit, of a fold of train that the model was not fitted on; NaN targets are
        unlabelled, but their predictions are filtered and shifted with the rest
    recordings : shape=(T,), which recording each frame is of
    fps : frames per second

    Returns
    -------
    chain : without any step where CCC is not defined on the fold

    Raises
    ------
    MetricError
        If shapes or lengths differ, a prediction is not finite, or `fps` is not positive.

    Source
    ------
    See the head of this module. Shifts are searched both ways, as raters lag behind a face, and a model that looks back
    lags behind raters; the challenges search later alone. Scaling is about the mean, so that it does not undo centring.
    """
    values = _series(predicted)
    _, wanted, labelled = labelled_frames(values, target, dimensions=(1,))
    tracks = _tracks(recordings, len(values), fps)

    def told(chain: Chain) -> Floats:
        return chain._applied(values, tracks, fps)[labelled]

    def better(chain: Chain, settings: Iterable[Chain]) -> Chain:
        """The best of the settings if it beats the chain, else the chain."""
        for each in settings:
            found = ccc(told(each), wanted)
            if found > chain.ccc_after + _LEAST_GAIN:
                chain = replace(each, ccc_after=found)
        return chain

    before = ccc(values[labelled], wanted)
    chain = Chain(ccc_before=before, ccc_after=before)
    if np.isnan(before):
        return chain
    chain = better(chain, [replace(chain, median_seconds=seconds) for seconds in MEDIAN_SECONDS])
    chain = better(chain, [replace(chain, offset=float(wanted.mean() - told(chain).mean()))])
    deviation, mean = told(chain).std(), told(chain).mean()
    chain = better(chain, [replace(chain, scale=float(wanted.std() / deviation), pivot=float(mean))])
    return better(chain, [replace(chain, shift_seconds=frames / fps) for frames in _shifts(fps)])


def _series(predicted: npt.ArrayLike) -> Floats:
    values = np.asarray(predicted, np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        n_bad = int((~np.isfinite(values)).sum())
        raise MetricError(
            f"predictions have shape {values.shape}, {n_bad} of them NaN or infinite; a chain needs (T,), all of them "
            "numbers, since a filter and a shift use frames without a label, too"
        )
    return values


def _tracks(recordings: Labels, n_frames: int, fps: float) -> list[Integers]:
    """Indices of the frames of each recording, in their order."""
    if not (np.isfinite(fps) and fps > 0):
        raise MetricError(f"fps is {fps}; frames per second are above 0")
    numbers = numbered(recordings, n_frames, "recordings")
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)


def _shifts(fps: float) -> list[int]:
    """Frames to shift by, nearest first, later before earlier."""
    step = max(1, round(SHIFT_STEP_SECONDS * fps))
    return [sign * frames for frames in range(step, int(SHIFT_LIMIT_SECONDS * fps) + 1, step) for sign in (1, -1)]
