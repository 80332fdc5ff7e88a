"""Access tokens of an OpenID provider, and the keys that they are signed with."""
