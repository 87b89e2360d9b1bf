"""Object headers are looked at before HDF5 opens an object: ours pass, and what HDF5 would not survive is refused."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecsim.hdf5 import DAMAGE, attribute, member, opened
from codecsim.object_headers import ObjectHeaders
from tests.fuzz.hdf5 import lookup3
from tests.pipelines.command import environment

VERSIONS = ("earliest", "v108", "v110", "latest")
VALUES = np.arange(12, dtype=np.int16)


def _compact(file: h5py.File) -> None:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple(VALUES.shape)
    h5py.Dataset(h5py.h5d.create(file.id, b"compact", h5py.h5t.NATIVE_INT16, space, plan))[:] = VALUES


def write_ordinary(file: h5py.File) -> None:
    """Data sets in every layout of their own, and groups, with few and many attributes and members."""
    file["contiguous"] = VALUES
    for name, options in {
        "chunked": {"chunks": (5,)},
        "growing": {"chunks": (5,), "maxshape": (None,)},
        "packed": {"chunks": (12,), "compression": "gzip", "shuffle": True, "fletcher32": True},
        "filled": {"fillvalue": 7},
        "timed": {"track_times": True},
    }.items():
        file.create_dataset(name, data=VALUES, **options)
    _compact(file)
    for n in range(12):  # more than a header holds by default
        for node in (file, file["contiguous"]):
            node.attrs[f"attribute {n}"] = "text" * 500
    for name, is_ordered in (("group", False), ("ordered", True)):
        group = file.create_group(name, track_order=is_ordered)
        for n in range(40):
            group[f"member {n}"] = VALUES
        for n in range(0, 40, 3):
            del group[f"member {n}"]
    for n in range(600):  # whose tree has two levels in the old format
        file.require_group("many").create_group(f"member {n}")


@pytest.mark.parametrize("userblock", [0, 512])
@pytest.mark.parametrize("version", VERSIONS)
def test_ordinary_objects_are_opened(version: str, userblock: int, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver=version, userblock_size=userblock) as file:
        write_ordinary(file)
        expected = list(file)
    with opened(tmp_path / "a.h5") as file:
        for name in expected:
            found = member(file, name)
            if isinstance(found, h5py.Group):
                assert len(found) == (600 if name == "many" else 26)
                found = member(found, "member 1")
            if name == "many":
                assert isinstance(found, h5py.Group)
                continue
            np.testing.assert_array_equal(found[:], VALUES)
        assert attribute(file, "attribute 11") == "text" * 500


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((12,), "i2")
    layout[:] = h5py.VirtualSource("other.h5", "x", (12,))
    file.create_virtual_dataset("x", layout)


def _external(file: h5py.File) -> None:
    file.create_dataset("x", (12,), "i2", external=[("other.bin", 0, 24)])


def _shared(file: h5py.File) -> None:
    file["type"] = VALUES.dtype
    file.create_dataset("x", data=VALUES, dtype=file["type"])


def _shared_of_attribute(file: h5py.File) -> None:
    file["type"] = VALUES.dtype
    file["x"] = VALUES
    file["x"].attrs.create("a", 1, dtype=file["type"])


REFUSED: dict[Callable[[h5py.File], None], str] = {
    _virtual: "a data set whose data lie elsewhere, or nowhere",
    _external: "a data set in external files",
    _shared: "a header that shares messages with other objects",
    _shared_of_attribute: "a header that shares messages with other objects",
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("write", REFUSED)
def test_data_sets_that_lead_elsewhere_are_refused(
    write: Callable[[h5py.File], None], version: str, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver=version) as file:
        write(file)
        file["plain"] = VALUES
    with opened(tmp_path / "a.h5") as file:
        with pytest.raises(ValueError, match=REFUSED[write]):
            member(file, "x")
        assert member(file, "type") is None
        np.testing.assert_array_equal(member(file, "plain")[:], VALUES)


def test_files_that_are_not_read_as_ours_are(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", driver="core") as file:
        file["x"] = VALUES
        with pytest.raises(ValueError, match="HDF5 in another layout than the default one"):
            member(file, "x")
    plan = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    plan.set_sizes(4, 4)
    h5py.h5f.create(bytes(tmp_path / "b.h5"), h5py.h5f.ACC_TRUNC, plan).close()
    with pytest.raises(ValueError, match="HDF5 in another layout than the default one"):
        opened(tmp_path / "b.h5")


# Forged files that HDF5 2.0 does not survive.


def heap_of_a_mapping(path: Path) -> None:
    """A virtual data set whose mapping lies in a heap with free space of no size."""
    with h5py.File(path, "w", libver="v110") as file:
        _virtual(file)
    data = bytearray(path.read_bytes())
    at = data.index(b"GCOL") + 16
    data[at : at + 16] = bytes(16)
    path.write_bytes(data)


def heap_of_names(path: Path, *, of_root: bool) -> None:
    """A group in the old format whose heap of names has free space that leads back to itself."""
    with h5py.File(path, "w", libver="earliest") as file:
        file.create_group("x")["y"] = VALUES
    data = bytearray(path.read_bytes())
    at = data.index(b"HEAP") if of_root else data.rindex(b"HEAP")
    _, free, start = struct.unpack_from("<QQQ", data, at + 8)
    struct.pack_into("<Q", data, start + free, free)
    path.write_bytes(data)


def tree_of_itself(path: Path) -> None:
    """A group in the old format the tree of whose members has its root below itself."""
    with h5py.File(path, "w", libver="earliest") as file:
        group = file.create_group("x")
        for n in range(600):
            group.create_group(f"member {n:03}")
    data = bytearray(path.read_bytes())
    root = data.index(b"TREE\0\1")
    struct.pack_into("<Q", data, root + 32, root)
    path.write_bytes(data)


def type_of_itself(path: Path) -> None:
    """A data set whose type is that of another object, which is the data set itself."""
    with h5py.File(path, "w", libver="v110") as file:
        _shared(file)
        header, of_type = (file.id.links.get_info(name).u for name in (b"x", b"type"))
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<BBQ", 2, 2, of_type), header)
    struct.pack_into("<Q", data, at + 2, header)
    n_bytes = struct.unpack_from("<H", data, header + 6)[0] if data[header + 5] & 3 else data[header + 6]
    end = header + (8 if data[header + 5] & 3 else 7) + n_bytes
    struct.pack_into("<I", data, end, lookup3(bytes(data[header:end])))
    path.write_bytes(data)


FORGED = {
    heap_of_a_mapping: "a data set whose data lie elsewhere, or nowhere",
    partial(heap_of_names, of_root=True): "a heap whose free space has no end",
    partial(heap_of_names, of_root=False): "a heap whose free space has no end",
    tree_of_itself: "a tree that grows out of itself",
    type_of_itself: "a header that shares messages with other objects",
}

_READ = """
import sys
from pathlib import Path
from codecsim.hdf5 import member, opened

try:
    print(len(member(opened(Path(sys.argv[1])), "x")))
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize("forge", FORGED)
def test_forged_files_are_refused_in_time(forge: Callable[[Path], None], tmp_path: Path) -> None:
    forge(tmp_path / "a.h5")
    program = [sys.executable, "-c", _READ, tmp_path / "a.h5"]
    done = subprocess.run(program, capture_output=True, text=True, env=environment(), timeout=20, check=True)
    assert done.stdout.strip() == FORGED[forge]


# Damaged headers.


def new_header(*messages: tuple[int, int, bytes], flags: int = 0, before: bytes = b"") -> bytes:
    """A header of version 2 without a checksum, which is HDF5's to check."""
    body = b"".join(struct.pack("<BHB", kind, len(data), bits) + data for kind, bits, data in messages)
    return b"OHDR" + bytes([2, flags]) + before + bytes([len(body)]) + body + bytes(4)


def old_header(*messages: tuple[int, int, bytes]) -> bytes:
    """A header of version 1."""
    body = b"".join(struct.pack("<HHB3x", kind, len(data), bits) + data for kind, bits, data in messages)
    return struct.pack("<BxHII4x", 1, len(messages), 1, len(body)) + body


def checked(path: Path, data: bytes, address: int = 0) -> None:
    path.write_bytes(data)
    with path.open("rb") as file:
        ObjectHeaders(file.fileno(), 0).check(address)


CHUNKED = (8, 0, bytes([4, 2]) + bytes(20))
VIRTUAL = (8, 0, bytes([4, 3]) + bytes(12))
NOTHING = (0, 0, bytes(8))


@pytest.mark.parametrize("header", [new_header, old_header])
def test_a_header_goes_on_elsewhere(header: Callable[..., bytes], tmp_path: Path) -> None:
    is_new = header is new_header
    for last in (CHUNKED, VIRTUAL):
        third = header(last)[7:-4] if is_new else header(last)[16:]
        if is_new:
            third = b"OCHK" + third + bytes(4)
        second = header(NOTHING, (16, 0, struct.pack("<QQ", 800, len(third))))[7 if is_new else 16 :]
        if is_new:
            second = b"OCHK" + second
        first = header(NOTHING, (16, 0, struct.pack("<QQ", 600, len(second))), NOTHING)
        data = first.ljust(600, b"\0") + second.ljust(200, b"\0") + third
        if last is CHUNKED:
            checked(tmp_path / "a", data)
        else:
            with pytest.raises(ValueError, match="a data set whose data lie elsewhere"):
                checked(tmp_path / "a", data)


def _continued(where: int, length: int) -> tuple[int, int, bytes]:
    return 16, 0, struct.pack("<QQ", where, length)


_LOOP = new_header(_continued(40, 28)).ljust(40, b"\0") + b"OCHK" + new_header(_continued(40, 28))[7:]
_LEAF = b"TREE" + bytes(20)
_ODD = b"TREE\0\5\1\0" + struct.pack("<QQQQQ", 0, 0, 0, 148, 0)
_LONG = struct.pack("<BxHII4x", 1, 1, 1, 2**31)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a damaged object header"),
        (bytes(600), "a damaged object header"),
        (b"OHDR\3" + bytes(99), "a damaged object header"),
        (new_header(NOTHING, flags=0x80), "a damaged object header"),
        (new_header(NOTHING, NOTHING)[:-12], "an address behind the end of the file"),
        (new_header((8, 0, bytes(2))), "a data set whose data lie elsewhere, or nowhere"),
        (new_header((8, 0, bytes([6, 1, 1]))), "a data set whose data lie elsewhere, or nowhere"),
        (old_header((8, 0, bytes([1, 1, 3]))), "a data set whose data lie elsewhere, or nowhere"),
        (new_header((3, 2, bytes(10))), "a header that shares messages with other objects"),
        (new_header(NOTHING)[:8] + b"\xff" + new_header(NOTHING)[9:], "a message that is longer than its header"),
        (new_header(_continued(0, 8)), "a header that goes on where nothing is"),
        (new_header(_continued(2**62, 8)), "an address behind the end of the file"),
        (new_header((16, 0, bytes(8))), "a message that is shorter than what it says"),
        (_LOOP, "a header that goes on in itself"),
        (old_header(_continued(16, 24)), "a header that goes on in itself"),
        (_LONG + bytes(500), "a header that is too long"),
        (old_header(*[_continued(2**13 + 8 * n, 0) for n in range(300)]) + bytes(2**13), "a header that is too long"),
        (old_header((17, 0, bytes(16))) + bytes(99), "a tree that is none"),
        (old_header((17, 0, struct.pack("<QQ", 100, 0))).ljust(100, b"\0") + _LEAF, "a heap that is none"),
        (old_header((17, 0, struct.pack("<QQ", 100, 2**20))).ljust(100, b"\0") + _LEAF, "an address behind the end"),
        (old_header((17, 0, struct.pack("<QQ", 100, 0))).ljust(100, b"\0") + _ODD + _ODD, "a tree that is none"),
    ],
)
def test_damaged_headers_are_refused(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        checked(tmp_path / "a", data)


def test_times_thresholds_and_order_are_passed_over(tmp_path: Path) -> None:
    plain = new_header(CHUNKED, flags=0x30, before=bytes(20))
    checked(tmp_path / "a", plain)
    forged = new_header(VIRTUAL, flags=0x30, before=bytes(20))
    with pytest.raises(ValueError, match="a data set whose data lie elsewhere"):
        checked(tmp_path / "a", forged)


@pytest.fixture(scope="module", params=["earliest", "v110"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A good file, its bytes, and the addresses of its objects."""
    path = tmp_path_factory.mktemp("damage") / "a.h5"
    with h5py.File(path, "w", libver=request.param) as made:
        write_ordinary(made)
    data = path.read_bytes()
    with opened(path) as made:
        addresses = [made.id.links.get_info(name.encode()).u for name in made]
    with path.open("r+b") as raw:
        yield {"descriptor": raw.fileno(), "data": data, "addresses": addresses}


@settings(max_examples=300, deadline=2000)
@given(drawn=st.data())
def test_any_bytes_changed_are_refused_or_pass(file: dict[str, Any], drawn: st.DataObject) -> None:
    headers, data = ObjectHeaders(file["descriptor"], 0), file["data"]
    address = drawn.draw(st.sampled_from(file["addresses"]))
    changes = drawn.draw(st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=8)), min_size=1))
    for at, new in changes:
        os.pwrite(file["descriptor"], new, address + at)
    try:
        headers.check(address)
        headers.check_root()
    except DAMAGE:
        pass
    finally:
        os.pwrite(file["descriptor"], data, 0)
        os.ftruncate(file["descriptor"], len(data))
    headers.check(address)
