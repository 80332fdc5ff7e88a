"""Who moves orders, as their history names them."""

from __future__ import annotations

Actor = str
"""One of these, or the name of whoever the API let in."""

CLIENT: Actor = "client"
WORKER: Actor = "worker"
SWEEPER: Actor = "sweeper"
