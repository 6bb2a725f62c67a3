"""How many requests a consumer gets at once: more while its answers stay as quick, fewer when it fails."""

START = 8
_WINDOW = 4
"""Answers, per request that is in flight at once, after which the limit is judged: fewer would judge chance."""

_SLOWER = 1.5
"""When twice the requests take this many times as long, they only wait for each other at the consumer."""

_MUCH_SLOWER = 3.0
_HOLD_WINDOWS = 64


class Concurrency:
    """One consumer's limit, between 1 and `most`.

    It begins with START and doubles while twice as many requests at once are answered about as quickly. Where they are
    not, the consumer works on them one after the other, or has no more capacity: the limit goes back, and stays for
    many windows. Answer times alone never bring it below START; a failure halves it.
    """

    __slots__ = ("_before_s", "_count", "_hold", "_most", "_sum_s", "limit")

    def __init__(self, most: int) -> None:
        self.limit = min(START, most)
        self._most = most
        self._before_s: float | None = None
        self._hold = 0
        self._restart()

    def answered(self, took_s: float, *, full: bool) -> None:
        """Count an answer that took this long; `full` says whether the limit was what held further requests back."""
        if not full:
            self._restart()
            return
        self._sum_s += took_s
        self._count += 1
        if self._count >= _WINDOW * self.limit:
            self._judge(self._sum_s / self._count)
            self._restart()

    def failed(self) -> None:
        """Count a request that was not acknowledged."""
        self.limit = max(1, self.limit // 2)
        self._before_s = None
        self._hold = 0
        self._restart()

    def _judge(self, mean_s: float) -> None:
        before_s = self._before_s
        slower = before_s is not None and mean_s > before_s * (_MUCH_SLOWER if self._hold else _SLOWER)
        if slower:
            self.limit = max(self.limit // 2, min(self.limit, START))
            self._hold = _HOLD_WINDOWS
            return
        if self._hold:
            self._hold -= 1
            return
        self._before_s = mean_s
        if self.limit < self._most:
            self.limit = min(2 * self.limit, self._most)

    def _restart(self) -> None:
        self._sum_s = 0.0
        self._count = 0
