"""The sweep file: what goes in comes out, whatever the order and the number of parts."""

import itertools
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import codecsim
from codecsim.errors import StoreError, UsageError
from codecsim.parts import parts_folder, writing
from codecsim.store.merge import finished_jobs, merge
from codecsim.store.records import Records, column_array, write_part
from codecsim.store.schema import PACKET_COLUMNS, STREAM_COLUMNS
from codecsim.store.sweep import Sweep, value_column
from codecsim.store.verify import Problem, verify


def records(streams: list[tuple[str, int, int, list[bytes]]]) -> Records:
    """Records of (sequence, scale, QP, packets)."""
    rows, packets = [], {column.name: [] for column in PACKET_COLUMNS}
    for index, (sequence, scale, qp, data) in enumerate(streams):
        given = {
            "key": f"{sequence}-{scale}-{qp}",
            "sequence": sequence,
            "codec": "x264",
            "options": "{}",
            "mode": "qp",
            "scale": scale,
            "qp_requested": qp,
            "crf_requested": np.nan,
            "bitrate_kbps_requested": np.nan,
            "n_packets": len(data),
            "n_bytes": sum(map(len, data)),
            "offset": sum(row["n_bytes"] for row in rows),
            "first_packet": sum(row["n_packets"] for row in rows),
        }
        rows.append({column.name: "" if column.dtype == "text" else 0 for column in STREAM_COLUMNS} | given)
        for name, values in packets.items():
            fixed = {"stream": index, "pict_type": b"P"}
            values += [len(each) if name == "n_bytes" else fixed.get(name, order) for order, each in enumerate(data)]
    return Records(
        streams={column.name: column_array(column, [row[column.name] for row in rows]) for column in STREAM_COLUMNS},
        packets={column.name: column_array(column, packets[column.name]) for column in PACKET_COLUMNS},
        bitstream=np.frombuffer(b"".join(b"".join(data) for *_, data in streams), np.uint8),
    )


jobs = st.lists(
    st.tuples(
        st.sampled_from(["anna", "bo", "çelik"]),
        st.sampled_from([3, 4]),
        st.integers(18, 24),
        st.lists(st.binary(max_size=40), min_size=1, max_size=4),
    ),
    max_size=12,
    unique_by=lambda job: job[:3],
)


@settings(max_examples=20, deadline=None)
@given(jobs=jobs, cuts=st.lists(st.integers(0, 12), max_size=3), rounds=st.integers(1, 2))
def test_any_parts_merge_to_the_same_rows(
    jobs: list[tuple[str, int, int, list[bytes]]],
    cuts: list[int],
    rounds: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    out = tmp_path_factory.mktemp("merge") / "sweep.h5"
    folder = parts_folder(out)
    bounds = sorted({0, len(jobs), *(min(cut, len(jobs)) for cut in cuts)})
    pieces = [jobs[start:stop] for start, stop in itertools.pairwise(bounds)]
    for number in range(rounds):
        for index, piece in enumerate(pieces[number::rounds]):
            write_part(folder / f"{number}-{index}.h5", records(piece))
        if any(folder.glob("*.h5")):
            merge(out, folder, {"grids": [], "versions": {}})
    if not jobs:
        return
    with Sweep(out) as sweep:
        expected = sorted(jobs, key=lambda job: (job[0].encode(), job[1], job[2]))
        assert [sweep.name(row) for row in range(len(sweep))] == [f"{n}/x264/s{s}/qp{qp}" for n, s, qp, _ in expected]
        for row, (*_, data) in enumerate(expected):
            assert sweep.packets(row) == data
            table = sweep.packet_table(row)
            assert table["stream"].tolist() == [row] * len(data)
            for name, values in table.items():
                assert sweep.packet_column(row, name).tolist() == values.tolist()
        assert sweep.n_bytes == sum(len(each) for *_, data in jobs for each in data)
    assert not list(folder.glob("*.h5"))


def test_a_newer_part_replaces_the_row_of_the_same_job(tmp_path: Path) -> None:
    out, folder = tmp_path / "sweep.h5", tmp_path / "sweep.h5.parts"
    write_part(folder / "a.h5", records([("anna", 3, 18, [b"old"]), ("anna", 3, 19, [b"kept"])]))
    merge(out, folder, {})
    write_part(folder / "b.h5", records([("anna", 3, 18, [b"newer", b"one"])]))
    assert merge(out, folder, {}) == 2
    with Sweep(out) as sweep:
        assert [sweep.packets(row) for row in (0, 1)] == [[b"newer", b"one"], [b"kept"]]


def test_finished_jobs_are_those_of_the_file_and_of_its_parts(tmp_path: Path) -> None:
    out = tmp_path / "sweep.h5"
    with writing(out) as folder:
        write_part(folder / "a.h5", records([("anna", 3, 18, [b"x"])]))
        merge(out, folder, {})
        write_part(folder / "b.h5", records([("bo", 4, 20, [b"y"])]))
        (folder / "c.h5").write_bytes(b"\x89HDF damaged")
        finished = finished_jobs(out, folder)
        assert finished.jobs == {("anna", "anna-3-18"), ("bo", "bo-4-20")}
        assert [path.name for path in finished.damaged] == ["c.damaged"]


def test_one_process_writes_a_sweep_at_a_time(tmp_path: Path) -> None:
    with writing(tmp_path / "sweep.h5"), pytest.raises(StoreError, match=r"is being written by process \d+; wait"):  # noqa: SIM117
        with writing(tmp_path / "sweep.h5"):
            pass
    assert not list(tmp_path.iterdir())


@pytest.fixture
def small(tmp_path: Path) -> Path:
    out, folder = tmp_path / "sweep.h5", tmp_path / "sweep.h5.parts"
    write_part(folder / "a.h5", records([("anna", s, qp, [b"abc", b"de"]) for s in (3, 4) for qp in (18, 24)]))
    merge(out, folder, {"grids": [{"scales": [3, 4]}], "versions": {"pyav": "18"}})
    return out


def test_streams_are_found_by_row_key_and_name(small: Path) -> None:
    with Sweep(small) as sweep:
        assert sweep.find("3") == [3]
        assert sweep.find("anna-3-24") == [1]
        assert sweep.find("s4/qp18") == [2]
        assert sweep.find("anna/s3") == [0, 1]
        assert sweep.find("s40") == []
        assert sweep.grids == [{"scales": [3, 4]}]
        assert sweep.versions == {"pyav": "18"}
        with pytest.raises(UsageError, match="no stream 's5'; name one by its row, key or name, such as anna/x264/s3"):
            sweep.one("s5")
        with pytest.raises(UsageError, match="2 streams are meant by 's3'"):
            sweep.one("s3")
        with pytest.raises(UsageError, match="no column 'bppp'; there are: key, sequence, subject"):
            sweep.column("bppp")
        with pytest.raises(UsageError, match="no column 'bytes'; there are: stream, pts, dts"):
            sweep.packet_column(0, "bytes")


def test_pandas_opens_it_in_one_line(small: Path) -> None:
    with codecsim.open_sweep(small) as sweep:
        table = pd.DataFrame(sweep.streams)
    assert table.shape == (4, len(STREAM_COLUMNS))
    assert table.sequence.tolist() == ["anna"] * 4
    with h5py.File(small) as f:
        raw = pd.DataFrame({c: f["streams"][c][:] for c in f["streams"]})
    assert raw.n_bytes.tolist() == [5] * 4


def damage(path: Path, name: str, value: object) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = value


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("streams/scale", np.zeros(3, np.int64), "columns of /streams have different lengths"),
        ("streams/scale", np.zeros(4), "/streams/scale is missing or of another type"),
        ("streams/scale", h5py.ExternalLink("/etc/passwd", "/x"), "/streams/scale is missing or of another type"),
        ("streams", h5py.ExternalLink("other.h5", "/streams"), "/streams/key is missing or of another type"),
        ("streams/scale", h5py.SoftLink("/nowhere"), "/streams/scale is missing or of another type"),
        ("bitstream", np.zeros(4), "/bitstream is missing or of another type"),
        ("streams/offset", np.array([0, 5, 10, 2**62]), "lie outside the 20 that it holds"),
        ("streams/n_bytes", np.array([5, 5, 5, -5]), "lie outside the 20 that it holds"),
        ("streams/first_packet", np.array([0, 2, 4, 7]), "packets 7 to 9 lie outside the 8"),
        ("packets/n_bytes", np.full(8, 3, np.int32), "the packets of stream 3 hold 6 bytes, the stream 5"),
    ],
)
def test_a_hostile_file_is_refused(small: Path, name: str, value: object, message: str) -> None:
    damage(small, name, value)
    with pytest.raises(StoreError, match=message), Sweep(small) as sweep:
        sweep.packets(3)


def test_damaged_bytes_are_noticed(small: Path) -> None:
    with h5py.File(small) as file:
        where = file["bitstream"].id.get_chunk_info(0).byte_offset
    data = bytearray(small.read_bytes())
    data[where] ^= 1
    small.write_bytes(data)
    with Sweep(small) as sweep, pytest.raises(StoreError, match="/bitstream is damaged"):
        sweep.packets(0)


def test_another_schema_version_is_refused(small: Path) -> None:
    with h5py.File(small, "r+") as file:
        file.attrs["schema_version"] = 2
    with pytest.raises(StoreError, match="sweep of schema version 2, this codecsim reads version 1; open it with"):
        Sweep(small)


def test_root_attributes_are_json(small: Path) -> None:
    with h5py.File(small) as file:
        assert json.loads(file.attrs["grids"]) == [{"scales": [3, 4]}]


@pytest.mark.parametrize("name", ["grids", "versions", "corpora"])
@pytest.mark.parametrize("value", ["0.5", "null", '"text"', "{", "[" * 60_000])
def test_root_attributes_of_another_kind_are_refused(small: Path, name: str, value: str) -> None:
    with h5py.File(small, "r+") as file:
        file.attrs[name] = np.bytes_(value.encode())
    message = f"its attribute '{name}' is damaged"
    with Sweep(small) as sweep, pytest.raises(StoreError, match=message):
        getattr(sweep, name)


def test_features_behind_a_link_are_not_looked_for(small: Path) -> None:
    """Nor is the link followed: a pipe would block for ever."""
    os.mkfifo(small.with_name("pipe"))
    with h5py.File(small, "r+") as file:
        file["features"] = h5py.ExternalLink("pipe", "/")
    with Sweep(small) as sweep:
        assert np.isnan(sweep.features("li3ddct")).all()


def test_a_mode_that_is_none_is_told(small: Path) -> None:
    with h5py.File(small, "r+") as file:
        file["streams/mode"][2] = b"??"
    assert Problem(2, "anna/x264/s4/??nan", "mode '??' is not known here") in verify(small)
    with pytest.raises(StoreError, match=r"rate-control mode '\?\?' in a sweep file; there are qp, crf, bitrate"):
        value_column("??")
