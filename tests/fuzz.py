"""What the fuzzers call: loaders that may refuse anything, but in one line alone.

As a program, a coverage-guided fuzzer: ``python tests/fuzz.py genome|yaml [OPTIONS]``,
with the options of libFuzzer.
"""

import contextlib
import io
import sys
import tempfile
from pathlib import Path

watched = contextlib.nullcontext()
if __name__ == "__main__":
    import atheris

    watched = atheris.instrument_imports(["neuroevo", "yaml", "zipfile"])
with watched:
    import zipfile

    import numpy as np

    from neuroevo import loading
    from neuroevo.config import resolve
    from neuroevo.config.layers import read_layers
    from neuroevo.errors import UserError
    from neuroevo.store import genome_file


def refuses(function, *args):
    """Return what `function` returns, or the message of its refusal as an error."""
    try:
        return function(*args)
    except UserError as error:
        message = str(error)
        assert message and message.isprintable() and len(message) < 3000, message
        return error


def load_genome(content: bytes) -> None:
    """Read a genome file, and the configuration in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "g.npz"
        path.write_bytes(content)
        refuses(read_genome, path)
        assert [file.name for file in Path(folder).iterdir()] == ["g.npz"]


def read_genome(path: Path) -> None:
    file = genome_file.load(path)
    assert sum(array.nbytes for array in file.arrays.values()) < 2**29
    genome_file.to_spec(file)
    for each in (genome_file.split(file) or {"": file}).values():
        loading.configure(each)


def load_yaml(content: bytes) -> None:
    """Read a configuration, and resolve it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.yaml"
        path.write_bytes(content)
        refuses(lambda: resolve.resolve(read_layers(None, path)))
        assert [file.name for file in Path(folder).iterdir()] == ["c.yaml"]


def as_npz(members: list[tuple[str, bytes]]) -> bytes:
    """Return an archive with correct checksums, whatever is in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data)
    return file.getvalue()


def as_npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _fuzz_genome(data: bytes) -> None:
    """Mutate a file as it is, or an array, or the description in a sound file."""
    kind, data = data[:1], data[1:]
    if kind < b"\x40":
        load_genome(data)
    elif kind < b"\xa0":
        load_genome(as_npz([("states.npy", data)]))
    else:
        meta = as_npy(np.array(data.decode("utf-8", "replace")))
        load_genome(as_npz([("meta.npy", meta), ("x.npy", as_npy(np.ones(2)))]))


def main() -> None:
    target, *options = sys.argv[1:]
    function = {"genome": _fuzz_genome, "yaml": load_yaml}[target]
    atheris.Setup([sys.argv[0], *options], function)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
