# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables in VOTable, by pieces."""

import base64
import io
import re
import xml.parsers.expat

import numpy as np
from astropy.io import votable
from astropy.table import MaskedColumn, Table
from astropy.utils.data import get_readable_fileobj

from galmorph.tables.columns import to_qtable

__all__ = ['iterate_votable']

_BLOCK = 2**20
_DATA = re.compile(
    rb'<(?:[\w.-]+:)?(?:(TABLEDATA)|(?:BINARY|BINARY2)\s*>\s*<(?:[\w.-]+:)?STREAM)\b'
    rb'([^>]*)>|</(?:[\w.-]+:)?TABLE\s*>'
)
_ROW_END = re.compile(rb'</(?:[\w.-]+:)?TR\s*>')
_DATA_END = re.compile(rb'</(?:[\w.-]+:)?TABLEDATA\s*>')
_N_ROWS = re.compile(rb'(<(?:[\w.-]+:)?TABLE\b[^>]*?)\s+nrows\s*=\s*(["\'])\d*\2')
_NEXT_TABLE = re.compile(rb'<(?:[\w.-]+:)?TABLE\b')
_SIZES = {
    'boolean': 1,
    'bit': 1,
    'unsignedByte': 1,
    'char': 1,
    'short': 2,
    'unicodeChar': 2,
    'int': 4,
    'float': 4,
    'long': 8,
    'double': 8,
    'floatComplex': 8,
    'doubleComplex': 16,
}


def iterate_votable(path, chunk_size):
    """
    Read a VOTable, chunk by chunk.

    Each piece of the rows is given to astropy within what is around them. Data
    as elements (TABLEDATA) and binary data (BINARY, BINARY2) are cut into
    pieces; other data, such as FITS or a stream elsewhere, are read at once.

    Parameters
    ----------
    path : path-like
        The file, compressed or not, with one table.
    chunk_size : int
        Rows of a chunk.

    Yields
    ------
    chunk : `~astropy.table.QTable`
        The rows. Strings of any length are strings, no objects. A file of no
        rows yields one chunk of none.

    Raises
    ------
    ValueError
        If there are several tables.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.table import Table
    >>> from galmorph.tables.votable import iterate_votable
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'a.xml'
    ...     Table({'n': [1, 2, 3]}).write(path, format='votable')
    ...     [chunk['n'].tolist() for chunk in iterate_votable(path, 2)]
    [[1, 2], [3]]
    """
    with get_readable_fileobj(str(path), encoding='binary') as file:
        content = b''
        found = None
        while found is None:
            block = file.read(_BLOCK)
            content += block
            found = _DATA.search(content)
            if not block:
                break
        in_pieces = found is not None and (
            found[1] or (b'base64' in (found[2] or b'') and b'href' not in found[2])
        )
        if in_pieces:
            head = _N_ROWS.sub(rb'\1', content[: found.end()])
            rest = content[found.end() :]
            around = head, _closing(head)
            if found[1]:
                pieces = _iterate_elements(rest, file, chunk_size)
            else:
                pieces = _iterate_binary(rest, file, chunk_size, around)
            for piece in pieces:
                yield _read(io.BytesIO(around[0] + piece + around[1]))
            return
    yield _read(str(path))


def _read(source):
    table = to_qtable(Table.read(source, format='votable'))
    for name in table.colnames:
        column = table[name]
        if column.dtype.kind == 'O' and all(isinstance(v, str) for v in column):
            values = np.array([str(value) for value in column], 'U')
            text = type(column)(values.astype(values.dtype if len(values) else 'U1'))
            if isinstance(column, MaskedColumn):
                text.mask = column.mask
            for attribute in ('unit', 'format', 'description', 'meta'):
                setattr(text, attribute, getattr(column, attribute))
            table[name] = text
    return table


def _closing(head):
    """The tags that end what has begun."""
    stack = []
    parser = xml.parsers.expat.ParserCreate()
    parser.StartElementHandler = lambda name, _: stack.append(name)
    parser.EndElementHandler = lambda _: stack.pop()
    parser.Parse(head)
    return ''.join(f'</{name}>' for name in reversed(stack)).encode()


def _iterate_elements(content, file, chunk_size):
    rows, n_rows, is_first = [], 0, True
    at_end = False
    while not at_end:
        block = file.read(_BLOCK)
        content += block
        end = _DATA_END.search(content)
        at_end = end is not None or not block
        if at_end and end is None:
            msg = 'the file ends within the rows'
            raise OSError(msg)
        part = content[: end.start()] if at_end else content
        position = 0
        for match in _ROW_END.finditer(part):
            rows.append(part[position : match.end()])
            position = match.end()
            n_rows += 1
            if n_rows == chunk_size:
                yield b''.join(rows)
                rows, n_rows, is_first = [], 0, False
        content = content[end.end() :] if at_end else content[position:]
    if rows or is_first:
        yield b''.join(rows)
    _check_alone(content, file)


def _iterate_binary(content, file, chunk_size, around):
    table = votable.parse_single_table(io.BytesIO(b''.join(around)))
    measure = _make_measure(
        table.all_fields, has_nulls=re.search(rb'BINARY2\s*>', around[0]) is not None
    )
    data, position, n_rows, is_first = b'', 0, 0, True
    for piece in _decode(content, file):
        data += piece
        while True:
            end = measure(data, position)
            if end is None:
                break
            position = end
            n_rows += 1
            if n_rows == chunk_size:
                yield base64.b64encode(data[:position])
                data, position, n_rows, is_first = data[position:], 0, 0, False
    if position < len(data):
        msg = 'the file ends within a row'
        raise OSError(msg)
    if data or is_first:
        yield base64.b64encode(data)


def _decode(content, file):
    """Bytes of a stream in base 64, which ends where a tag begins."""
    at_end = False
    while not at_end:
        before, tag, after = content.partition(b'<')
        at_end = bool(tag)
        text = b''.join(before.split())
        whole = len(text) if at_end else len(text) // 4 * 4
        yield base64.b64decode(text[:whole])
        if at_end:
            _check_alone(after, file)
            return
        block = file.read(_BLOCK)
        if not block:
            msg = 'the file ends within the rows'
            raise OSError(msg)
        content = text[whole:] + block


def _check_alone(content, file):
    while content:
        if _NEXT_TABLE.search(content):
            msg = 'it holds several tables; keep one'
            raise ValueError(msg)
        block = file.read(_BLOCK)
        content = content[-64:] + block if block else b''


def _make_measure(fields, *, has_nulls):
    """Return a function from where a row begins to where it ends, or None."""
    steps = [(len(fields) + 7) // 8 if has_nulls else 0]
    for field in fields:
        *fixed, last = str(field.arraysize or '1').split('x')
        n_items = int(np.prod([int(n) for n in fixed], dtype=int))
        size = _SIZES[field.datatype]
        if last.endswith('*'):
            # bytes of fixed length, bytes of an item, bytes of fixed length...
            steps += [size * n_items, 0]
            continue
        n_items *= int(last)
        # bits are packed
        steps[-1] += (n_items + 7) // 8 if field.datatype == 'bit' else size * n_items

    def measure(data, position):
        position += steps[0]
        for item, after in zip(steps[1::2], steps[2::2], strict=True):
            if position + 4 > len(data):
                return None
            n_items = int.from_bytes(data[position : position + 4], 'big')
            position += 4 + n_items * item + after
        return position if position <= len(data) else None

    return measure
