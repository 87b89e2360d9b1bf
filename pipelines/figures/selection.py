"""Which curves of a sweep one picture shows, and what its caption says of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from codecsim.channel import INTACT
from codecsim.errors import UsageError
from pipelines.curve import MEASURE_NAMES, Curve, Reference, of_splits
from pipelines.tables import asked_for, counted

_REFERENCES: dict[Reference, str] = {
    "label": "{} against the labels ({})",
    "fidelity": "fidelity ({1}): {0} against what the same network says of the uncoded HR frames",
}


@dataclass(frozen=True)
class Selection:
    """Curves of one label, one reference, one codec and one mode.

    Attributes
    ----------
    coded : with points
    ceilings : of networks on HR frames that were never coded, without points
    gain_on : family whose measures were taken off those of the curves; "" of plain curves
    """

    coded: tuple[Curve, ...]
    ceilings: tuple[Curve, ...]
    gain_on: str = ""

    @property
    def mode(self) -> str:
        """qp, crf or bitrate."""
        return self.coded[0].mode

    @property
    def reference(self) -> Reference:
        """What they are measured against."""
        return self.coded[0].reference

    @property
    def scales(self) -> tuple[int, ...]:
        """Factors, the smallest first."""
        return tuple(sorted({curve.s for curve in self.coded}))

    def of(self, s: int) -> list[Curve]:
        """The curves at a factor."""
        return [curve for curve in self.coded if curve.s == s]

    def measure_name(self, measure: str) -> str:
        """The title of an axis."""
        what = f"\ngain on {self.gain_on}" if self.gain_on else ", fidelity" if self.reference == "fidelity" else ""
        return MEASURE_NAMES[measure] + what

    def caption(self, measures: str) -> list[str]:
        """Whom and what the curves are of, and what `measures` are measured against, as parts of a caption."""
        first, every = self.coded[0], (*self.coded, *self.ceilings)
        gain = f"gain on {self.gain_on} in the same streams: " if self.gain_on else ""
        values = [point.value for curve in self.coded for point in curve.points]
        n_left_out = sum(max(curve.n_left_out for curve in self.of(s)) for s in self.scales)
        parts = [
            f"{counted([len(curve.subjects) for curve in every], 'person', 'people')}{of_splits(every)}, "
            f"{counted([curve.n_frames for curve in every], 'frame')}",
            _seeds([curve.seeds for curve in every]),
            f"{first.codec}, {asked_for(first.mode, values)}",
            gain + _REFERENCES[first.reference].format(measures, first.label),
            "not every curve is of the same sequences" if len({curve.sequences for curve in every}) > 1 else "",
            f"{counted([n_left_out], 'point')} of other sequences, seeds or weights left out" if n_left_out else "",
        ]
        return [part for part in parts if part]


def select(
    curves: Sequence[Curve], *, label: str | None = None, codec: str | None = None, mode: str | None = None
) -> Selection:
    """The curves of whole streams that one picture shows; those of streams that lost packets are passed over.

    Parameters
    ----------
    curves : those of a sweep
    label, codec, mode : needed where there are several

    Raises
    ------
    UsageError
        If no curve with points is left, or those that are left would not be told apart in one picture: they are of
        several labels, references, codecs or modes.
    """
    curves = [curve for curve in curves if curve.channel == INTACT]
    references = sorted({curve.reference for curve in curves})
    if len(references) > 1:
        raise UsageError(f"curves against {' and '.join(references)} are not comparable; draw those of one reference")
    coded = [curve for curve in curves if curve.points]
    if not coded:
        raise UsageError("no curve with points: no network was shown decoded frames that are measured against anything")
    labels = sorted({curve.label for curve in coded})
    if label is None and len(labels) > 1:
        raise UsageError(
            f"{len(labels)} labels in one picture: {', '.join(labels)}; choose one, as label={labels[0]!r}"
        )
    if label is not None and label not in labels:
        raise UsageError(f"no curve of label {label!r}; there are {', '.join(labels)}")
    chosen = label or labels[0]
    coded = [curve for curve in coded if curve.label == chosen]
    coding = one_coding(((curve.codec, curve.mode) for curve in coded), codec=codec, mode=mode)
    return Selection(
        coded=tuple(curve for curve in coded if (curve.codec, curve.mode) == coding),
        ceilings=tuple(curve for curve in curves if not curve.points and curve.label == chosen),
    )


def one_coding(codings: Iterable[tuple[str, str]], *, codec: str | None, mode: str | None) -> tuple[str, str]:
    """The codec with its options, and the mode, that a picture is of: the only one, or the one that is asked for.

    Raises
    ------
    UsageError
        If there is none, or more than one is left.
    """
    held = sorted(set(codings))
    left = [each for each in held if codec in (None, each[0]) and mode in (None, each[1])]
    if len(left) == 1:
        return left[0]
    shown = "; ".join(f"codec={name!r}, mode={way!r}" for name, way in left or held)
    if left:
        raise UsageError(f"{len(left)} codecs or modes in one picture would not be told apart; choose one of {shown}")
    asked = " and ".join(f"{name} {value!r}" for name, value in (("codec", codec), ("mode", mode)) if value is not None)
    raise UsageError(f"nothing of {asked}; there is {shown}")


def ceiling_name(curve: Curve) -> str:
    """What a legend calls a method on HR frames that were never coded."""
    return f"{curve.method} on HR frames"


def _seeds(seeds: Sequence[tuple[int, ...]]) -> str:
    """Seeds of the networks, or how many there are where methods have others."""
    if len(set(seeds)) > 1:
        return f"{counted([len(each) for each in seeds], 'seed')} a method"
    return f"seed{'s' if len(seeds[0]) > 1 else ''} {', '.join(map(str, seeds[0]))}"
