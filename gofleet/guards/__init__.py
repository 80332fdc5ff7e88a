"""What wraps a message handler that knows none of it. The chains are written once, in `chain.py`, for every broker."""
