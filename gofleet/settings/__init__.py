"""The settings: `groups` declares them, `load` reads them."""

from gofleet.settings.checks import unsafe, unsafe_passwords
from gofleet.settings.group import SettingsError
from gofleet.settings.groups import Settings
from gofleet.settings.load import check, load, secrets_of

__all__ = ["Settings", "SettingsError", "check", "load", "secrets_of", "unsafe", "unsafe_passwords"]
