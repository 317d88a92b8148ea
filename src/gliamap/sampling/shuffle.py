"""A shuffled order of 0..n-1 of which each place is known by itself: nothing that grows with n is made or kept."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

_ROUNDS = 6


def shuffled(place: int, length: int, key: Sequence[int]) -> int:
    """The number at ``place`` (0..length-1) of the shuffled 0..length-1. Each ``key`` shuffles in another way.

    A Feistel network permutes the numbers of an even count of bits; one that falls outside 0..length-1 is sent through
    again until it falls inside, which keeps it a permutation (Black and Rogaway, Ciphers with arbitrary finite domains,
    CT-RSA 2002: cycle walking). Fewer than four turns on average.
    """
    half = max(1, ((length - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    secret = blake2b(b" ".join(b"%d" % part for part in key), digest_size=16).digest()
    while True:
        left, right = place >> half, place & mask
        for turn in range(_ROUNDS):
            mixed = blake2b(b"%d %d" % (turn, right), digest_size=8, key=secret).digest()
            left, right = right, left ^ (int.from_bytes(mixed) & mask)
        place = left << half | right
        if place < length:
            return place
