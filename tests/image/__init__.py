"""The image built, and run as it will be run: needs a container engine, so it is no part of the tests."""
