"""Verification of an installation: invariants that show that no accepted order was lost or dispatched twice."""

from gofleet.verification.checks import InvariantResult, InvariantState, Offender, Report
from gofleet.verification.sources import Inputs
from gofleet.verification.verify import verify

__all__ = ["InvariantResult", "Inputs", "Offender", "Report", "InvariantState", "verify"]
