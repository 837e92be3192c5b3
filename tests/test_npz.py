"""Files that somebody made to do harm: one line, little memory, nothing executed."""

import io
import os
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from neuroevo.errors import UserError
from neuroevo.store import npz

EXPECTED = "a genome (.npz)"


def as_npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(text, version=(1, 0)):
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text.encode()


def claiming(shape, descr="<f8"):
    return header(f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}")


def archive(path, *members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.filename = info.orig_filename = name
            info.compress_type = compression
            file.writestr(info, data)


GOOD = as_npy(np.arange(3.0))
NESTED = "-" * 900 + "1"
CLAIMS = {
    "more than there is": (claiming((2**60,)), "claims shape (1152921504606846976,)"),
    "more than a number can": (claiming((2**70, 2**70)), "claims shape (118059"),
    "less than there is": (claiming((1,)) + b"0" * 80, "claims shape (1,) of float64"),
    "negative sizes": (claiming((-3, -1)) + b"0" * 24, "claims shape (-3, -1)"),
    "nothing, hugely": (claiming((0, 2**70)), "claims shape (0, 11805"),
    "many of no size": (claiming((2**50,), "<U0"), "holds <U0, expected numbers"),
    "objects": (claiming((1,), "|O") + b"0" * 8, "holds object, expected numbers"),
    "records": (claiming((1,), [("x", "<f8")]) + b"0" * 8, "expected numbers"),
    "raw memory": (claiming((1,), "|V8") + b"0" * 8, "holds |V8, expected numbers"),
    "dates": (claiming((1,), "<M8[s]") + b"0" * 8, "expected numbers"),
    "code": (header("__import__('os').mkdir('x')"), "x.npy has no array header"),
    "deep nesting": (header("(" * 900), "x.npy has no array header"),
    "a number of many signs": (header(NESTED), "has no array header"),
    "an endless header": (
        header(" " * 2**20, (2, 0)),
        "x.npy has no array header",
    ),
    "another version": (header("", (9, 9)), "x.npy has no array header"),
    "Python 2": (
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (3L,)}"),
        "",
    ),
    "nothing": (b"", ""),
}


def refusal(path):
    """Return what refuses `path`, having taken next to no time and memory."""
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(UserError) as error:
            npz.read(path, EXPECTED)
        assert time.monotonic() - began < 5
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    message = str(error.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message


@pytest.mark.parametrize("claim", CLAIMS)
def test_an_array_is_what_it_claims_to_be(claim, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, expected = CLAIMS[claim]
    archive(tmp_path / "g.npz", ("x.npy", data))
    assert expected in refusal(tmp_path / "g.npz")
    assert os.listdir(tmp_path) == ["g.npz"]


@pytest.mark.parametrize(
    "name",
    [
        *("../../evil.npy", "/etc/evil.npy", "a/../../evil.npy", "..\\evil.npy"),
        *("a\nb.npy", "\x1b[31m.npy", "readme.txt", "x.NPY", "x", "", "folder/"),
    ],
)
def test_names_that_are_none_of_an_array(name, tmp_path):
    archive(tmp_path / "g.npz", (name, GOOD))
    assert "expected arrays alone (.npy), got " in refusal(tmp_path / "g.npz")


def test_names_that_are(tmp_path):
    names = ["hidden_0/kernel", "", "Gewicht-ü", "a b", "file.npy", "tasks/a:b/x"]
    archive(tmp_path / "g.npz", *((f"{name}.npy", GOOD) for name in names))
    assert list(npz.read(tmp_path / "g.npz", EXPECTED)) == names


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_arrays_of_one_name_none_is_taken(tmp_path):
    archive(tmp_path / "g.npz", ("x.npy", GOOD), ("x.npy", as_npy(np.ones(1))))
    assert "it holds 'x' twice" in refusal(tmp_path / "g.npz")


def test_a_small_file_does_not_expand_to_a_large_one(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "_MOST_BYTES", 2**20)
    size = 2**18
    data = claiming((size - 128,), "|i1").ljust(128)[:128] + bytes(size - 128)
    archive(tmp_path / "g.npz", *((f"{i}.npy", data) for i in range(5)))
    assert (tmp_path / "g.npz").stat().st_size < 2**14
    assert "arrays of at most 1048576 bytes in all" in refusal(tmp_path / "g.npz")


def test_a_large_file_may_be_as_large_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "_MOST_BYTES", 100)
    np.savez(tmp_path / "g.npz", x=np.arange(1000.0))
    assert len(npz.read(tmp_path / "g.npz", EXPECTED)["x"]) == 1000
    np.savez_compressed(tmp_path / "h.npz", x=np.zeros(1000))
    assert "expected arrays of at most" in refusal(tmp_path / "h.npz")


def test_a_size_that_the_directory_lies_about(tmp_path):
    """The archive's directory says 1 TB, or a byte; the data is neither."""
    archive(tmp_path / "g.npz", ("x.npy", GOOD))
    content = bytearray((tmp_path / "g.npz").read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    for size in (2**32 - 2, 1, len(GOOD) - 8):
        content[entry + 24 : entry + 28] = struct.pack("<I", size)
        (tmp_path / "g.npz").write_bytes(content)
        refusal(tmp_path / "g.npz")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_numpy_does_not_write(method, tmp_path):
    archive(tmp_path / "g.npz", ("x.npy", GOOD), compression=method)
    assert "compressed in a way that numpy does not write" in refusal(
        tmp_path / "g.npz"
    )


def test_an_encrypted_archive(tmp_path):
    archive(tmp_path / "g.npz", ("x.npy", GOOD))
    content = bytearray((tmp_path / "g.npz").read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    (tmp_path / "g.npz").write_bytes(content)
    assert "encrypted" in refusal(tmp_path / "g.npz")


def test_too_many_arrays(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "_MOST_ARRAYS", 3)
    archive(tmp_path / "g.npz", *((f"{i}.npy", GOOD) for i in range(4)))
    assert "expected at most 3 arrays" in refusal(tmp_path / "g.npz")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, expected in {
        "nowhere": "no such file; expected a genome (.npz)",
        ".": "a directory; expected a genome (.npz)",
        "pipe": "a pipe or a device; expected a genome (.npz)",
        "loop": "Too many levels of symbolic links; expected a genome (.npz)",
        "x" * 300: "File name too long; expected a genome (.npz)",
    }.items():
        assert refusal(tmp_path / name).endswith(expected)
    assert "a pipe or a device" in refusal(npz.Path("/dev/zero"))


def test_every_cut_of_a_file_is_refused(tmp_path):
    np.savez(tmp_path / "whole.npz", x=np.arange(9.0), y=np.ones((2, 2)))
    whole = (tmp_path / "whole.npz").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "g.npz").write_bytes(whole[:length])
        refusal(tmp_path / "g.npz")
