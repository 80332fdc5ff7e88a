"""Build and check of the container image. They need a container engine, and are not part of the tests."""
