"""Guards that wrap a message handler, independent of it. `chain.py` defines their order, the same for every broker."""
