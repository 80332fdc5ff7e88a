"""A small city to try GoFleet in: seeded, so that it is the same city every time."""
