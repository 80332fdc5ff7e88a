"""Delivery-dispatch engine: accepts orders over REST and assigns each to the nearest free driver, exactly once."""

__version__ = "0.1.0"
