"""Verification of an installation: invariants that show that no accepted order was lost or dispatched twice."""

from gofleet.verification.checks import InvariantResult, Offender, Report, Verdict
from gofleet.verification.sources import Inputs
from gofleet.verification.verify import verify

__all__ = ["InvariantResult", "Inputs", "Offender", "Report", "Verdict", "verify"]
