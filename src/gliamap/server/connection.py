"""Connections that may not be held open by saying nothing: there are only so many of them, and strangers come first."""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """uvicorn's own waits for ever for the rest of a request; this one ``patience`` seconds, up to twice as long.

    A request that is being answered has its time: uploads and streams of events have limits of their own.
    """

    patience = 15.0
    _seen: object = ...  # what was answered last at the last look, if nothing was being answered then

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to look at the time."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._look()

    def _look(self) -> None:
        """Close where nothing is being answered and no request came since the last look."""
        if self.transport.is_closing():
            return
        waits = self.cycle is None or self.cycle.response_complete
        if waits and self.cycle is self._seen:
            self.transport.abort()
            return
        self._seen = self.cycle if waits else ...
        self.loop.call_later(self.patience, self._look)
