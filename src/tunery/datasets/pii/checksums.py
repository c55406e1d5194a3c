"""Check digits, as the bodies that give out the numbers define them. Digits come as strings of ASCII digits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

__all__ = ["base58check", "bech32", "eip55", "iso7064_mod11_10", "luhn", "mod97", "verhoeff", "weighted"]

_LUHN_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn(digits: str) -> bool:
    """Tell whether the last digit checks the others. Source: ISO/IEC 7812-1, annex B."""
    total = sum(int(digit) for digit in digits[-1::-2])
    return (total + sum(_LUHN_DOUBLED[int(digit)] for digit in digits[-2::-2])) % 10 == 0


def mod97(text: str) -> bool:
    """Tell whether letters and digits, A as 10 to Z as 35, leave 1 of 97. Source: ISO/IEC 7064, MOD 97-10."""
    return int("".join(str(int(character, 36)) for character in text)) % 97 == 1


def iso7064_mod11_10(digits: str) -> bool:
    """Tell whether the last digit checks the others. Source: ISO/IEC 7064, MOD 11,10."""
    product = 10
    for digit in digits[:-1]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def weighted(digits: str, weights: Sequence[int]) -> int:
    """Return the sum of each digit times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


_DIHEDRAL = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_PERMUTED = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def verhoeff(digits: str) -> bool:
    """Tell whether the last digit checks the others. Source: Verhoeff, Error Detecting Decimal Codes, 1969."""
    check = 0
    for position, digit in enumerate(reversed(digits)):
        check = int(_DIHEDRAL[check][int(_PERMUTED[position % 8][int(digit)])])
    return check == 0


_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58check(text: str, versions: frozenset[int]) -> bool:
    """Tell whether this is a 25-byte address of one of the versions. Source: Bitcoin, Base58Check encoding."""
    number = 0
    for character in text:
        number = number * 58 + _BASE58.index(character)
    if number >= 1 << 200:
        return False
    data = number.to_bytes(25, "big")
    digest = hashlib.sha256(hashlib.sha256(data[:21]).digest()).digest()
    return data[0] in versions and data[21:] == digest[:4]


_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_STEPS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def bech32(text: str) -> bool:
    """Tell whether a lower-case segwit address checks. Source: BIP 173 (constant 1) and BIP 350 (0x2bc830a3)."""
    prefix, _, data = text.rpartition("1")
    values = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + [_BECH32.index(c) for c in data]
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, step in enumerate(_BECH32_STEPS):
            check ^= step if top >> bit & 1 else 0
    return check in (1, 0x2BC830A3)


def eip55(address: str) -> bool:
    """Tell whether the case of 40 hex digits is their checksum, or they are in one case. Source: EIP-55."""
    if address in (address.lower(), address.upper()):
        return True
    digest = _keccak256(address.lower().encode()).hex()
    return all(c.isdigit() or c.isupper() == (int(h, 16) >= 8) for c, h in zip(address, digest, strict=False))


def _keccak256(data: bytes) -> bytes:
    """Hash at most 135 bytes. Source: Keccak reference 3.0, with its own padding (not FIPS 202's)."""
    block = bytearray(136)
    block[: len(data)] = data
    block[len(data)] ^= 0x01
    block[135] ^= 0x80
    lanes = [int.from_bytes(block[8 * i : 8 * i + 8], "little") for i in range(17)] + [0] * 8
    state = [[lanes[x + 5 * y] for y in range(5)] for x in range(5)]
    register = 1
    for _ in range(24):
        register = _keccak_round(state, register)
    return b"".join(state[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


def _keccak_round(a: list[list[int]], register: int) -> int:
    c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4] for x in range(5)]
    d = [c[x - 1] ^ _turned(c[(x + 1) % 5], 1) for x in range(5)]
    for x in range(5):
        a[x] = [lane ^ d[x] for lane in a[x]]
    x, y, current = 1, 0, a[1][0]
    for t in range(24):
        x, y = y, (2 * x + 3 * y) % 5
        current, a[x][y] = a[x][y], _turned(current, (t + 1) * (t + 2) // 2)
    for y in range(5):
        row = [a[x][y] for x in range(5)]
        for x in range(5):
            a[x][y] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5])
    for j in range(7):
        register = (register << 1 ^ (register >> 7) * 0x71) % 256
        if register & 2:
            a[0][0] ^= 1 << ((1 << j) - 1)
    return register


def _turned(lane: int, bits: int) -> int:
    bits %= 64
    return (lane << bits | lane >> (64 - bits)) & 0xFFFFFFFFFFFFFFFF
