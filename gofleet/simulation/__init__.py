"""Simulated drivers and customers in a small city, reproducible from a seed."""
