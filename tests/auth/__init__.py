"""Authentication and authorisation: tokens, keys, roles, scopes and rate limits."""
