"""GoFleet: delivery orders in over REST, each one given the nearest free driver, through crashes."""

__version__ = "0.1.0"
