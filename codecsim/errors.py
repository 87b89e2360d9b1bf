"""Every error that codecsim raises on purpose.

Each names the thing, the value, what is allowed and what to do. Each is also the builtin that a caller would expect, so
that ``except ValueError`` keeps working. The command line ends with status 2 on a `UsageError` and with 1 on the rest.
"""


class CodecsimError(Exception):
    """Base of all errors below; catch it to catch every refusal of codecsim and nothing else."""


class UsageError(CodecsimError, ValueError):
    """A request that can never work: a factor that does not divide 96, a QP outside the codec's range."""


class SourceError(CodecsimError, OSError):
    """A video, boxes or labels file that is missing, damaged, empty or of another kind than was asked for."""


class VideoError(SourceError):
    """A recording that cannot be opened or decoded: a fault of that file alone."""


class FaceError(CodecsimError, LookupError):
    """Footage in which no usable face track was found."""


class CodecError(CodecsimError, RuntimeError):
    """An encoder or a decoder that failed; carries the codec's own message."""


class BitstreamError(CodecsimError, ValueError):
    """A bitstream that cannot be parsed, or whose bits do not add up."""


class StoreError(CodecsimError, OSError):
    """A corpus or sweep file that is missing, damaged, of another schema, or cannot be written."""


class MetricError(CodecsimError, ValueError):
    """Predictions and targets that cannot be compared: other shapes, or no prediction where there is a label."""


class TrainingError(CodecsimError, ArithmeticError):
    """Training that went astray: a loss that is no number. What was good before is kept."""
