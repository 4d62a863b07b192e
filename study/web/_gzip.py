"""One gzip stream out of pieces that were compressed before, each of them once."""

import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

LEVEL = 4
"""Of 1 (quick) to 9; 4 makes a table of trials half as large as 1 in the same time as 2."""
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # RFC 1952: deflate, no name, no time, unknown system
_LAST_BLOCK = b"\x03\x00"  # RFC 1951: an empty block with the final bit
_POLYNOMIAL = 0xEDB88320  # CRC-32, bits reversed
_ONE = 1 << 31


@dataclass(frozen=True)
class Piece:
    """Compressed bytes that can stand anywhere in a stream.

    Attributes:
        deflated: Deflate blocks that refer to nothing before them, none of them the last.
        size: Bytes before compression.
        crc: CRC-32 of these.
        shift: x^(8·size) modulo the CRC's polynomial, for joining.
        digest: Equal for equal bytes only.
    """

    deflated: bytes
    size: int
    crc: int
    shift: int
    digest: bytes


def digest_of(*parts: bytes) -> bytes:
    """A short digest of the parts in their order."""
    found = blake2b(digest_size=16)
    for part in parts:
        found.update(part)
    return found.digest()


def compressed(raw: bytes, digest: bytes | None = None) -> Piece:
    """Compress a piece.

    Args:
        raw: The bytes.
        digest: What identifies them; by default that of their own content.
    """
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = compressor.compress(raw) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return Piece(deflated, len(raw), zlib.crc32(raw), _power_of_x(8 * len(raw)), digest or digest_of(raw))


def inflated(piece: Piece) -> bytes:
    """The bytes before compression."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(piece.deflated)


def joined(pieces: Sequence[Piece]) -> list[bytes]:
    """The parts of one gzip stream of all pieces."""
    crc = 0
    for piece in pieces:
        crc = _product(piece.shift, crc) ^ piece.crc
    size = sum(piece.size for piece in pieces) & 0xFFFFFFFF
    return [_HEADER, *(piece.deflated for piece in pieces), _LAST_BLOCK + struct.pack("<II", crc, size)]


def _product(a: int, b: int) -> int:
    """Of two polynomials over GF(2) modulo the CRC's, the highest bit being the constant term."""
    found, bit = 0, _ONE
    while a:
        if a & bit:
            found ^= b
            a ^= bit
        bit >>= 1
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return found


def _power_of_x(exponent: int) -> int:
    found, square = _ONE, _ONE >> 1
    while exponent:
        if exponent & 1:
            found = _product(square, found)
        square = _product(square, square)
        exponent >>= 1
    return found


class RecentPieces:
    """Pieces that may be asked for again, the most recent ones."""

    def __init__(self, most: int) -> None:
        """Keep at most so many."""
        self._most = most
        self._known: OrderedDict[bytes, Piece] = OrderedDict()

    def of(self, parts: Iterable[bytes], digest: bytes) -> Piece:
        """The piece with this digest, made of the parts if it is not known."""
        piece = self._known.pop(digest, None) or compressed(b"".join(parts), digest)
        self._known[digest] = piece
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return piece
