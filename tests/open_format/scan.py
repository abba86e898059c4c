"""Looks for values in every Parquet file below a folder: decoded values, statistics, dictionaries, metadata.

Usage: scan.py FOLDER VALUE...

Prints the number of files, then one line for every hit.
"""

import pathlib
import sys

import pyarrow
import pyarrow.parquet


def texts(value):
    """All scalars within a value, as text."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
        yield value.hex()
    elif value is not None:
        yield str(value)


def statistics(metadata):
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            known = metadata.row_group(group).column(column).statistics
            if known is not None and known.has_min_max:
                yield known.min
                yield known.max
    yield str(metadata.metadata)


def main():
    folder, *wanted = sys.argv[1:]
    # Checksums of checkpoints lie beside them.
    files = sorted(path for path in pathlib.Path(folder).rglob("*.parquet") if not path.name.startswith("_sum."))
    print(f"{len(files)} files")
    for path in files:
        file = pyarrow.parquet.ParquetFile(path)
        found = [text for value in statistics(file.metadata) for text in texts(value)]
        for group in range(file.num_row_groups):
            for column in file.read_row_group(group).columns:
                for chunk in column.chunks:
                    # Dictionaries hold values whether or not a row still has them.
                    encoded = chunk if pyarrow.types.is_nested(chunk.type) else chunk.dictionary_encode()
                    values = encoded.dictionary if isinstance(encoded, pyarrow.DictionaryArray) else encoded
                    found.extend(text for value in values.to_pylist() for text in texts(value))
        for value in wanted:
            if any(value in text for text in found):
                print(f"{path}: {value}")


main()
