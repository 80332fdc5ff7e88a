"""Verification of an OpenID provider's access tokens."""
