"""Figures of Cheng et al. 2017, Table 1, on AVEC 2016's dev split: single runs, whose model selection is not told."""

from collections.abc import Mapping

_METHODS = ("lr", "non-joint", "joint", "joint-oa")

_HR = {"rmse": 0.146, "cc": 0.430, "ccc": 0.325}

MEASURES = tuple(_HR)
"""Of all recordings concatenated."""

_BY_SCALE = {
    3: {"rmse": (0.142, 0.121, 0.132, 0.129), "cc": (0.392, 0.363, 0.396, 0.399), "ccc": (0.302, 0.293, 0.323, 0.328)},
    4: {"rmse": (0.155, 0.123, 0.127, 0.131), "cc": (0.381, 0.354, 0.380, 0.391), "ccc": (0.283, 0.281, 0.319, 0.327)},
    6: {"rmse": (0.149, 0.128, 0.127, 0.134), "cc": (0.300, 0.344, 0.325, 0.375), "ccc": (0.263, 0.280, 0.274, 0.309)},
    8: {"rmse": (0.161, 0.129, 0.134, 0.130), "cc": (0.323, 0.317, 0.320, 0.358), "ccc": (0.238, 0.265, 0.266, 0.285)},
    12: {"rmse": (0.143, 0.126, 0.125, 0.132), "cc": (0.291, 0.287, 0.246, 0.308), "ccc": (0.224, 0.235, 0.204, 0.223)},
    16: {"rmse": (0.137, 0.124, 0.137, 0.132), "cc": (0.316, 0.244, 0.219, 0.273), "ccc": (0.212, 0.191, 0.192, 0.172)},
}


def table1(family: str, s: int) -> Mapping[str, float] | None:
    """RMSE, CC and CCC of a method at factor s (1 for HR); None where the table has none."""
    if family == "hr":
        return _HR
    if family not in _METHODS or s not in _BY_SCALE:
        return None
    column = _METHODS.index(family)
    return {measure: row[column] for measure, row in _BY_SCALE[s].items()}
