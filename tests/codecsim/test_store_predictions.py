"""Predictions in a sweep file: what goes in comes out, beside any streams, from any number of parts."""

import itertools
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecsim.channel import channel
from codecsim.errors import StoreError
from codecsim.parts import parts_folder
from codecsim.store import merge as merge_module
from codecsim.store.merge import finished_jobs, merge, update_measures
from codecsim.store.records import Series, write_part, write_predictions
from codecsim.store.schema import PREDICTION_COLUMNS, STREAM_COLUMNS
from codecsim.store.sweep import Sweep
from codecsim.store.verify import verify
from tests.codecsim.test_store import records
from tests.stored import Told, predictions_in


def series(told: Told, values: list[float], **received: float) -> Series:
    sequence, key, scale, method, label, seed = told
    return Series(
        sequence=sequence,
        key=key,
        scale=scale,
        method=method,
        label=label,
        seed=seed,
        weights="w" * seed,
        precision="fp32",
        delay_seconds=0.25,
        every=2,
        values=np.array(values, np.float32),
        **received,  # type: ignore[arg-type]
    )


whole = st.floats(-8, 8, width=16)
told = st.tuples(
    st.sampled_from(["anna", "çelik"]),
    st.sampled_from(["", "anna-3-18"]),
    st.sampled_from([1, 3]),
    st.sampled_from(["lr-3", "joint-oa"]),
    st.sampled_from(["valence", "arousal"]),
    st.integers(0, 2),
)
parts = st.lists(
    st.lists(st.tuples(told, st.lists(whole, min_size=1, max_size=5)), min_size=1, unique_by=lambda each: each[0]),
    min_size=1,
    max_size=4,
)


@settings(max_examples=15, deadline=None)
@given(parts=parts, rounds=st.integers(1, 2))
def test_any_parts_merge_to_the_newest_of_each(
    parts: list[list[tuple[Told, list[float]]]], rounds: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.mktemp("merge") / "sweep.h5"
    folder = parts_folder(out)
    write_part(folder / "streams.h5", records([("anna", 3, 18, [b"abc"])]))
    size = -(-len(parts) // rounds)
    number = itertools.count()
    for some in itertools.batched(parts, size) if hasattr(itertools, "batched") else [parts]:
        for part in some:
            write_predictions(folder / f"{next(number):03}.h5", [series(*each) for each in part])
        merge(out, folder, {})
    expected = {each: values for part in parts for each, values in part}
    assert predictions_in(out) == expected
    assert list(predictions_in(out)) == sorted(
        expected, key=lambda each: (each[0].encode(), *each[3:], each[2], each[1])
    )
    with Sweep(out) as sweep:
        assert sweep.packets(0) == [b"abc"]
        assert sweep.n_predicted == sum(map(len, expected.values()))
    assert not [problem for problem in verify(out) if "predict" in problem.what]


@pytest.mark.parametrize(("most", "n_openings"), [(1, 12), (2, 12), (3, 3)])
def test_parts_whose_rows_come_by_turns_stay_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, n_openings: int
) -> None:
    """Three parts, each of one frame of each of four people."""
    folder, opened, now_open = parts_folder(tmp_path / "sweep.h5"), [], set()

    class Watched(Sweep):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            opened.append(path.stem)
            now_open.add(self)
            assert len(now_open) <= most

        def close(self) -> None:
            super().close()
            now_open.discard(self)

    write_part(folder / "streams.h5", records([("a", 3, 18, [b"abc"])]))
    told = {(name, "", scale, "all", "valence", 0): [float(scale)] for name in "abcd" for scale in (1, 2, 3)}
    for scale in (1, 2, 3):
        write_predictions(
            folder / f"{scale}.h5", [series(each, values) for each, values in told.items() if each[2] == scale]
        )
    monkeypatch.setattr(merge_module, "_OPEN_FILES", most)
    monkeypatch.setattr(merge_module, "Sweep", Watched)
    merge(tmp_path / "sweep.h5", folder, {})
    assert predictions_in(tmp_path / "sweep.h5") == told
    assert len(opened) == 4 + 1 + n_openings  # what rows there are is read first, then the stream
    assert not now_open


@pytest.fixture
def small(tmp_path: Path) -> Path:
    out, folder = tmp_path / "sweep.h5", tmp_path / "sweep.h5.parts"
    write_part(folder / "a.h5", records([("anna", 3, 18, [b"abc"])]))
    write_predictions(
        folder / "b.h5",
        [
            series(("anna", "", 3, "lr-3", "valence", 0), [1, 2]),
            series(("anna", "anna-3-18", 3, "lr-3", "valence", 0), [3, 4]),
        ],
    )
    merge(out, folder, {})
    return out


def test_predictions_outlive_new_streams_and_measures(small: Path) -> None:
    before = predictions_in(small)
    folder = parts_folder(small)
    write_part(folder / "c.h5", records([("anna", 3, 18, [b"longer"]), ("anna", 4, 18, [b"x"])]))
    merge(small, folder, {})
    assert predictions_in(small) == before
    update_measures(small, {0: {"strred": np.array([1.5])}})
    assert predictions_in(small) == before
    with Sweep(small) as sweep:
        assert sweep.column("strred").tolist() == [1.5, 0]


def test_a_part_of_predictions_holds_no_job_and_is_set_aside_where_it_is_damaged(small: Path) -> None:
    folder = parts_folder(small)
    write_predictions(folder / "c.h5", [series(("anna", "", 1, "hr", "valence", 0), list(range(100)))])
    finished = finished_jobs(small, folder)
    assert (finished.jobs, finished.damaged) == ({("anna", "anna-3-18")}, ())
    with h5py.File(folder / "c.h5") as file:
        where = file["predicted"].id.get_chunk_info(0).byte_offset
    data = bytearray((folder / "c.h5").read_bytes())
    data[where + 4] ^= 1
    (folder / "c.h5").write_bytes(data)
    assert [path.name for path in finished_jobs(small, folder).damaged] == ["c.damaged"]


def test_a_file_without_predictions_has_none(tmp_path: Path) -> None:
    write_part(tmp_path / "a.h5", records([("anna", 3, 18, [b"abc"])]))
    with Sweep(tmp_path / "a.h5") as sweep:
        assert {name: values.tolist() for name, values in sweep.predictions.items()} == {
            column.name: [] for column in PREDICTION_COLUMNS
        }
        assert sweep.predicted_between(0, 0).tolist() == []
        with pytest.raises(StoreError, match="predictions 0 to 1 lie outside the 0 that it holds"):
            sweep.predicted_between(0, 1)


def test_pandas_opens_the_table(small: Path) -> None:
    with Sweep(small) as sweep:
        table = pd.DataFrame(sweep.predictions)
    assert table.shape == (2, len(PREDICTION_COLUMNS))
    assert table.every.tolist() == [2, 2]
    assert table.delay_seconds.tolist() == [0.25, 0.25]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("predictions/seed", np.zeros(1, np.int64), "columns of /predictions have different lengths"),
        ("predictions/seed", np.zeros(2), "/predictions/seed is missing or of another type"),
        ("predictions/seed", h5py.ExternalLink("/etc/passwd", "/x"), "/predictions/seed is missing or of another type"),
        ("predictions/loss", np.zeros(1), "columns of /predictions have different lengths"),
        ("predictions/loss", np.zeros(2, np.int64), "/predictions/loss is missing or of another type"),
        ("predictions/loss", h5py.ExternalLink("/etc/passwd", "/x"), "/predictions/loss is missing or of another type"),
        ("predicted", np.zeros(4, np.int64), "/predicted is missing or of another type"),
        ("predicted", None, "/predicted is missing or of another type"),
        ("predictions", None, "/predictions/sequence is missing or of another type"),
    ],
)
def test_hostile_predictions_are_refused(small: Path, name: str, value: object, message: str) -> None:
    with h5py.File(small, "r+") as file:
        del file[name]
        if value is not None:
            file[name] = value
    with pytest.raises(StoreError, match=message):
        Sweep(small)


def lossy(loss: float, burst: float | None = None, seed: int = 0) -> dict[str, float]:
    """What a row of a channel says of it."""
    made = channel(loss, burst, seed)
    return {"loss": made.loss, "burst": made.burst, "loss_seed": made.seed, "n_concealed": 1, "n_damaged": 2}


NEW = ("loss", "burst", "loss_seed", "n_concealed", "n_damaged")


def without_new_columns(path: Path) -> Path:
    """Make a file what it would have been before there were losses."""
    with h5py.File(path, "r+") as file:
        for name in NEW:
            del file[f"predictions/{name}"]
    return path


def test_rows_of_other_channels_stand_side_by_side(small: Path) -> None:
    told = "anna", "anna-3-18", 3, "lr-3", "valence", 0
    channels = [lossy(0.1), lossy(0.2), lossy(0.2, 5), lossy(0.2, 5, 1)]
    for number, made in enumerate(channels * 2):
        folder = parts_folder(small)
        write_predictions(folder / f"{number}.h5", [series(told, [number, number], **made)])
        merge(small, folder, {})
    with Sweep(small) as sweep:
        table = pd.DataFrame(sweep.predictions)
        assert table[table.key == "anna-3-18"][[*NEW]].to_numpy().tolist() == [
            [0, 0, -1, 0, 0],
            *(list(made.values()) for made in channels),
        ]
        assert [sweep.predicted_between(at, at + 1)[0] for at in table.offset] == [1, 3, 4, 5, 6, 7]
    assert not [problem for problem in verify(small) if "predict" in problem.what]


def test_a_file_of_before_there_were_losses_opens_and_is_added_to(small: Path) -> None:
    before = predictions_in(small)
    without_new_columns(small)
    assert predictions_in(small) == before
    with Sweep(small) as sweep:
        assert {name: sweep.predictions[name].tolist() for name in NEW} == {
            "loss": [0, 0], "burst": [0, 0], "loss_seed": [-1, -1], "n_concealed": [0, 0], "n_damaged": [0, 0],
        }  # fmt: skip
        assert sweep.predictions["loss_seed"].dtype == np.int64
    assert not [problem for problem in verify(small) if "predict" in problem.what]
    folder = parts_folder(small)
    told = "anna", "anna-3-18", 3, "lr-3", "valence", 0
    write_predictions(folder / "new.h5", [series(told, [7], **lossy(0.1)), series(told, [8])])
    merge(small, folder, {})
    with Sweep(small) as sweep:
        assert sweep.predictions["loss"].tolist() == [0, 0, 0.1]
        assert sweep.predicted_between(0, 4).tolist() == [1, 2, 8, 7]
    with h5py.File(small) as file:
        assert set(NEW) <= set(file["predictions"])


def test_parts_of_before_there_were_losses_are_merged(tmp_path: Path) -> None:
    out, folder = tmp_path / "sweep.h5", tmp_path / "sweep.h5.parts"
    write_part(folder / "a.h5", records([("anna", 3, 18, [b"abc"])]))
    write_predictions(folder / "b.h5", [series(("anna", "", 3, "lr-3", "valence", 0), [1, 2])])
    without_new_columns(folder / "b.h5")
    merge(out, folder, {})
    assert list(predictions_in(out).values()) == [[1, 2]]


def test_only_columns_with_a_default_may_be_missing(small: Path) -> None:
    needed = [column.name for column in PREDICTION_COLUMNS if column.name not in NEW]
    assert not [
        column for column in (*STREAM_COLUMNS, *PREDICTION_COLUMNS[: len(needed)]) if column.default is not None
    ]
    with h5py.File(small, "r+") as file:
        del file["predictions/every"]
    with pytest.raises(StoreError, match="/predictions/every is missing or of another type"):
        Sweep(small)


def test_verify_tells_predictions_that_do_not_lie_end_to_end(small: Path) -> None:
    with h5py.File(small, "r+") as file:
        file["predictions/offset"][:] = [0, 1]
    assert "the predictions do not lie end to end in /predicted" in [problem.what for problem in verify(small)]
