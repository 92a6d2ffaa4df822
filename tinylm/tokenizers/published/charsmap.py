"""The table of replacements that SentencePiece stores in its models: a trie in one array, and the
texts it leads to.

    size of the trie in bytes (4), the trie, the replacements, each ended by a zero byte

The trie is a double array (Aoe 1989) as Darts-clone writes it. A node's unit of 32 bits holds the
byte that leads to it (bits 0-7), whether a key ends there (bit 8), and the offset to its children
(bits 10-30, times 256 if bit 9 is set): the child for a byte b stands at node ^ offset ^ b. Where
a key ends, the child for b = 0 holds the place of its replacement. Read next: normalize.py.
"""

import numpy as np
import regex

from tinylm.errors import DataError

_CLUSTERS = regex.compile(r"\X")
_FARTHEST = 32  # characters that a key has at most; SentencePiece writes keys of up to 18
_LONGEST = 6  # bytes from which a cluster is looked up character by character only


class CharacterMap:
    """The replacements of a precompiled character map.

    data    bytes, the whole map
    raises  DataError if it is cut short
    """

    def __init__(self, data):
        size = int.from_bytes(data[:4], "little")
        if len(data) < 4 or size % 4 or size < 4 or 4 + size > len(data):
            raise DataError(f"a character map of {len(data)} bytes has a trie of {size}")
        self._units = np.frombuffer(data, "<u4", size // 4, 4).tolist()
        self._texts = data[4 + size :]
        self._known, self._single = {}, {}

    def prefixes(self, data):
        """(length of a key, place of its replacement) of every key that begins `data`, shortest
        first.
        """
        units, found = self._units, []
        try:
            node = _offset(units[0])
            for length, byte in enumerate(data, 1):
                if byte == 0:
                    break
                node ^= byte
                unit = units[node]
                if unit & 0x800000FF != byte:
                    break
                node ^= _offset(unit)
                if unit >> 8 & 1:
                    found.append((length, units[node] & 0x7FFFFFFF))
        except IndexError:
            raise DataError("a character map leads outside of its trie; it is damaged") from None
        return found

    def text_at(self, place):
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

    def by_clusters(self, text):
        """As the library `tokenizers` applies it: each cluster of characters by the shortest key
        that begins it.

        A cluster without one, or of six bytes and more, is replaced character by character.
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
        found = self.prefixes(data) if len(data) < _LONGEST else ()
        if found:
            return self.text_at(found[0][1])
        parts = []
        for c in cluster:
            found = self.prefixes(c.encode("utf-8"))
            parts.append(self.text_at(found[0][1]) if found else c)
        return "".join(parts)

    def by_longest(self, text):
        """As SentencePiece applies it: at every place the longest key that begins there.

        yields  replacements, in order; a character without one stands for itself
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
            found = self.prefixes(text[at : at + _FARTHEST].encode("utf-8"))
            length, place = found[-1] if found else (len(c.encode("utf-8")), None)
            read = text[at : at + _FARTHEST].encode("utf-8")[:length].decode("utf-8")
            yield c if place is None else self.text_at(place)
            at += len(read)

    def _lone(self, c):
        """What a character becomes whatever follows it; None where that depends."""
        data = c.encode("utf-8")
        found = self.prefixes(data)
        if self._goes_on(data):
            return None
        if found:
            return self.text_at(found[-1][1])
        return c

    def _goes_on(self, data):
        """Whether a longer key begins with these bytes."""
        units, node = self._units, _offset(self._units[0])
        for byte in data:
            node ^= byte
            if node >= len(units) or units[node] & 0x800000FF != byte:
                return False
            node ^= _offset(units[node])
        children = (byte for byte in range(1, 256) if node ^ byte < len(units))
        return any(units[node ^ byte] & 0x800000FF == byte for byte in children)


def _offset(unit):
    return (unit >> 10) << ((unit & 0x200) >> 6)
