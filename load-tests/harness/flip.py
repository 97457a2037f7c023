"""Changes one byte of one decision in the middle of a journal segment: flip.py SEGMENT yes|no, whether its sum is mended."""

import struct
import sys

HEADER, HEAD = 100, 18
# In the body of a hop: the outcome, 0 or 1.
OUTCOME = 64


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = crc32c_table()


def crc32c(data):
    """The Castagnoli sum of `data`."""
    value = 0xFFFFFFFF
    for byte in data:
        value = TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def main():
    path, mend = sys.argv[1], sys.argv[2] == "yes"
    with open(path, "r+b") as file:
        data = file.read()
        at, middle = HEADER, len(data) // 2
        while at < len(data):
            length = struct.unpack_from("<I", data, at)[0] + 8
            if at >= middle and data[at + 16] == 0:
                break
            at += length
        frame = bytearray(data[at:at + length])
        frame[HEAD + OUTCOME] ^= 1
        if mend:
            struct.pack_into("<I", frame, 4, crc32c(frame[8:]))
        file.seek(at)
        file.write(frame)
    print(f"changed the outcome of record {struct.unpack_from('<Q', data, at + 8)[0]} in {path}, sum mended: {sys.argv[2]}")


if __name__ == "__main__":
    main()
