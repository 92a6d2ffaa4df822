"""SentencePiece's table of replacements: a trie in one array, and the texts that it leads to.

    size of the trie in bytes (4), the trie, the replacements, each ended by a zero byte

The trie is a double array (Aoe 1989) as Darts-clone writes it. A node's unit of 32 bits holds the
byte that leads to it (bits 0-7), whether a key ends there (bit 8), and the offset to its children
(bits 10-30, times 256 if bit 9 is set): the child for a byte b stands at node ^ offset ^ b. Where
a key ends, the child for b = 0 holds the place of its replacement. Read next: normalize.py.
"""

from collections.abc import Iterator

import numpy as np
import regex

from tinylm.errors import DataError

_CLUSTERS = regex.compile(r"\X")
_FARTHEST = 32  # most characters of a key; SentencePiece writes keys of up to 18
_LONGEST = 6  # bytes from which a cluster is looked up character by character only


class CharacterMap:
    """The replacements of a precompiled character map.

    data    bytes, the whole map
    raises  DataError if it is cut short
    """

    def __init__(self, data: bytes) -> None:
        size = int.from_bytes(data[:4], "little")
        if len(data) < 4 or size % 4 or size < 4 or 4 + size > len(data):
            raise DataError(f"a character map of {len(data)} bytes has a trie of {size}")
        # `prefixes` reads one unit at a time, which a list returns faster than an array.
        self._units = np.frombuffer(data, "<u4", size // 4, 4).tolist()
        self._texts = data[4 + size :]
        self._known = {}  # {cluster: its replacement}
        self._single = {}  # {character: its replacement, or None if that depends on what follows}

    def prefixes(self, data: bytes) -> list[tuple[int, int]]:
        """The keys that `data` begins with, shortest first: [(length, place of replacement)]."""
        units, found = self._units, []
        try:
            node = _offset(units[0])
            for length, byte in enumerate(data, 1):
                if byte == 0:  # the child for 0 is no node, but the place of a replacement
                    break
                node ^= byte
                unit = units[node]
                # The unit there belongs to another node unless its byte is this one; bit 31 marks
                # the place of a replacement.
                if unit & 0x800000FF != byte:
                    break
                node ^= _offset(unit)
                if unit >> 8 & 1:  # a key ends here: read its place, without bit 31
                    found.append((length, units[node] & 0x7FFFFFFF))
        except IndexError:
            raise DataError("a character map leads outside of its trie; it is damaged") from None
        return found

    def text_at(self, place: int) -> str:
        """The replacement that begins at a place."""
        stop = self._texts.find(b"\0", place)
        if place > len(self._texts) or stop < 0:
            raise DataError("a character map leads outside of its texts; it is damaged")
        try:
            return self._texts[place:stop].decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"a character map replaces by what is no UTF-8 ({error.reason}); it is damaged"
            ) from None

    def by_clusters(self, text: str) -> str:
        """The text as the library `tokenizers` replaces it: by the shortest key of each cluster.

        A cluster is a letter with its marks. One that begins with no key, or has six bytes or more,
        is replaced character by character.
        """
        return "".join(map(self._cluster, _CLUSTERS.findall(text)))

    def _cluster(self, cluster):
        if cluster not in self._known:
            if len(self._known) >= 1 << 16:
                self._known.clear()
            self._known[cluster] = self._replaced(cluster)
        return self._known[cluster]

    def _replaced(self, cluster):
        data = cluster.encode("utf-8")
        if len(data) < _LONGEST:
            found = self.prefixes(data)
            if found:
                return self.text_at(found[0][1])
        parts = []
        for c in cluster:
            found = self.prefixes(c.encode("utf-8"))
            if found:
                c = self.text_at(found[0][1])
            parts.append(c)
        return "".join(parts)

    def by_longest(self, text: str) -> Iterator[str]:
        """The text as SentencePiece replaces it: by the longest key that begins at each place.

        yields  replacements, in order; a character without one is itself
        """
        at, end = 0, len(text)
        while at < end:
            c = text[at]
            if c not in self._single:
                self._single[c] = self._lone(c)
            if self._single[c] is not None:
                yield self._single[c]
                at += 1
                continue
            ahead = text[at : at + _FARTHEST].encode("utf-8")
            found = self.prefixes(ahead)
            if not found:
                yield c
                at += 1
                continue
            length, place = found[-1]
            key = ahead[:length].decode("utf-8")
            yield self.text_at(place)
            at += len(key)

    def _lone(self, c):
        """The replacement of a character, if it is the same whatever follows; else None."""
        data = c.encode("utf-8")
        found = self.prefixes(data)
        if self._goes_on(data):
            return None
        if found:
            return self.text_at(found[-1][1])
        return c

    def _goes_on(self, data):
        """Whether these bytes are the beginning of a longer key."""
        units, node = self._units, _offset(self._units[0])
        for byte in data:
            node ^= byte
            if node >= len(units) or units[node] & 0x800000FF != byte:
                return False
            node ^= _offset(units[node])
        # Is there a node below? The child for 0 would be the end of this key.
        children = (byte for byte in range(1, 256) if node ^ byte < len(units))
        return any(units[node ^ byte] & 0x800000FF == byte for byte in children)


def _offset(unit):
    """Bits 10-30, times 256 if bit 9 is set: 0x200 >> 6 = 8 bits of shift."""
    return (unit >> 10) << ((unit & 0x200) >> 6)
