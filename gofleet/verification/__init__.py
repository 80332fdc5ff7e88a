"""Proof that no accepted order was lost, dispatched twice or left unexplained: the invariants, checked."""

from gofleet.verification.findings import InvariantResult, Offender, Report, Verdict
from gofleet.verification.sources import Inputs
from gofleet.verification.verify import verify

__all__ = ["InvariantResult", "Inputs", "Offender", "Report", "Verdict", "verify"]
