"""What a team would build from the usual parts, to measure beside us."""
