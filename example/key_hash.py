"""The hash of a key of text, as product_upsert_hash() computes it, for a client that chooses the shard itself.

    key_hash("Acme", "A-1", None) == SELECT product_upsert_hash('Acme'::text, 'A-1'::text, NULL::text)

For columns of type text or varchar with a deterministic collation (as all are that were not declared otherwise), in
a database whose encoding is UTF8. Each value's hash is that of PostgreSQL's hashtextextended() with seed 0, which is
Bob Jenkins' lookup3 with a start of its own: https://burtleburtle.net/bob/c/lookup3.c. They are combined as
hash_combine64() does in PostgreSQL's src/include/common/hashfn.h.
"""

NULL_HASH = 0x9E3779B97F4A7C15
MASK_32 = (1 << 32) - 1
MASK_64 = (1 << 64) - 1


def key_hash(*key):
    """Returns the hash of the key's values (str or None), in the key's order, as a signed integer of 64 bits."""
    result = 0
    for value in key:
        value_hash = NULL_HASH if value is None else hash_bytes(value.encode("utf-8"))
        shifted = (result << 54) + (result >> 7)
        result ^= value_hash + 0x49A0F4DD15E5A8E3 + shifted & MASK_64
    return result - (1 << 64) if result >> 63 else result


def hash_bytes(data):
    """Returns the hash of bytes as an unsigned integer of 64 bits."""
    a = b = c = 0x9E3779B9 + len(data) + 3923095 & MASK_32
    whole = len(data) // 12 * 12
    for at in range(0, whole, 12):
        a, b, c = mix(*(value + word & MASK_32 for value, word in zip((a, b, c), words(data[at:at + 12]))))

    rest = data[whole:]
    # The lowest byte of the last word is left out: the length has taken its place.
    last = words((rest[:8].ljust(8, b"\0") + b"\0" + rest[8:]).ljust(12, b"\0"))
    a, b, c = (value + word & MASK_32 for value, word in zip((a, b, c), last))
    return final(a, b, c)


def words(data):
    return (int.from_bytes(data[at:at + 4], "little") for at in (0, 4, 8))


def rotate(value, bits):
    return (value << bits | value >> 32 - bits) & MASK_32


def mix(a, b, c):
    for bits in (4, 6, 8, 16, 19, 4):
        a = (a - c & MASK_32) ^ rotate(c, bits)
        c = c + b & MASK_32
        a, b, c = b, c, a
    return a, b, c


def final(a, b, c):
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - rotate(b, bits) & MASK_32
        a, b, c = b, c, a
    # By seven steps the three have moved on by one place.
    return a << 32 | b
