from __future__ import annotations

from dataclasses import dataclass

from gofleet.domain.driver import Position
from gofleet.domain.errors import Invalid
from gofleet.ports import Fleet


@dataclass(frozen=True)
class UpdatePosition:
    """Take a driver's fix. Told by the driver, it must be somewhere that can be reached from the last one at
    `fastest_kmh`: who claims to be elsewhere, to be given an order there, is not believed (`Invalid`). After a fix that
    was wrong, time makes the true ones believable again."""

    fleet: Fleet
    fastest_kmh: float

    async def __call__(self, position: Position, *, own: bool = False) -> bool:
        """False = older than what is known."""
        if own:
            for seen in await self.fleet.locate([position.driver_id]):
                if position.exceeds_speed(seen.position, self.fastest_kmh):
                    why = f"and lng are further from the last fix than {self.fastest_kmh:g} km/h would bring anybody"
                    raise Invalid("lat", why)
        return await self.fleet.update_position(position)
