"""Who may use the app: whoever has a one-time link from the terminal, or knows the password.

Only hashes of tokens and cookies are kept, in memory: a restart signs everybody out.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable

from gliamap.server.refusal import Refused

_BYTES = 32
_SESSIONS, _LINKS = 64, 16  # of each the oldest is forgotten
_LASTS = 12 * 3600.0
_N, _R, _P = 2**15, 8, 1  # of scrypt: 32 MB and about 0.1 s a try
_MEMORY = 2**26
_WINDOW, _TRIES, _TRIES_OF_ALL = 60.0, 5, 30
_ADDRESSES = 1024


class Sessions:
    """Links, cookies and the password. ``clock`` gives seconds. Used from one event loop."""

    def __init__(self, password: str | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._links: dict[bytes, None] = {}
        self._cookies: dict[bytes, float] = {}
        self._salt = secrets.token_bytes(16)
        self._password = None if password is None else self._hashed(password)
        self._tries: dict[str, deque[float]] = {}
        self._all_tries: deque[float] = deque()

    @property
    def by_password(self) -> bool:
        """Whether a password opens the app."""
        return self._password is not None

    def link(self) -> str:
        """A new token that signs in once."""
        token = secrets.token_urlsafe(_BYTES)
        self._links[_digest(token)] = None
        while len(self._links) > _LINKS:
            del self._links[next(iter(self._links))]
        return token

    def enter(self, token: str) -> str:
        """The cookie for a link's token, which is used up then; ``Refused`` where it is none, or was used."""
        key = _digest(token)
        if key not in self._links:
            raise Refused("forbidden", "this link is used up or wrong", remedy="open the newest link in the terminal")
        del self._links[key]
        return self._cookie()

    async def login(self, password: str, address: str) -> str:
        """The cookie for the password; ``Refused`` where it is wrong, none is set, or it was tried too often.

        Takes a tenth of a second. Tries are counted before they are judged, so that none is free beside another.
        """
        self._count(address)
        tried = await asyncio.to_thread(self._hashed, password) if self.by_password else b""
        if self._password is None or not hmac.compare_digest(tried, self._password):
            raise Refused("wrong-password", "this is not the password")
        return self._cookie()

    def knows(self, cookie: str) -> bool:
        """Whether the cookie is that of a session that lasts."""
        until = self._cookies.get(_digest(cookie))
        return until is not None and self._clock() < until

    def logout(self, cookie: str) -> None:
        """End the session."""
        self._cookies.pop(_digest(cookie), None)

    def _cookie(self) -> str:
        cookie = secrets.token_urlsafe(_BYTES)
        self._cookies[_digest(cookie)] = self._clock() + _LASTS
        while len(self._cookies) > _SESSIONS:
            del self._cookies[next(iter(self._cookies))]
        return cookie

    def _hashed(self, password: str) -> bytes:
        secret = password.encode("utf-8", "surrogatepass")
        return hashlib.scrypt(secret, salt=self._salt, n=_N, r=_R, p=_P, maxmem=_MEMORY)

    def _count(self, address: str) -> None:
        own = self._tries.setdefault(address, deque())
        while len(self._tries) > _ADDRESSES:
            del self._tries[next(iter(self._tries))]
        now = self._clock()
        for tries, most in ((own, _TRIES), (self._all_tries, _TRIES_OF_ALL)):
            while tries and tries[0] <= now - _WINDOW:
                tries.popleft()
            if len(tries) >= most:
                wait = int(tries[0] + _WINDOW - now) + 1
                raise Refused("too-often", "the password was tried too often", remedy="wait a minute", wait=wait)
        own.append(now)
        self._all_tries.append(now)


def _digest(secret: str) -> bytes:
    """What is kept of a secret. A look-up by it tells a listener with a clock nothing of the secret itself."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
