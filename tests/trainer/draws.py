# The runtime's random numbers and orders, written down once more; see runtime/random.h.


def philox(counter, key):
    """Philox4x32-10 (Salmon et al., 2011)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def key_of(seed):
    return seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF


def picture_at(position, count, epoch=0, seed=0):
    """The picture at a position of an epoch's order of `count`."""
    bits = next(bits for bits in range(1, 32) if 1 << 2 * bits >= count)
    mask, value, key = (1 << bits) - 1, position, key_of(seed)
    while True:
        left, right = value >> bits, value & mask
        for turn in range(8):
            left, right = right, left ^ philox((right, epoch, turn, 0), key)[0] & mask
        value = left << bits | right
        if value < count:
            return value
