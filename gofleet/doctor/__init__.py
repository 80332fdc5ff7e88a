"""Whether everything that the chosen roles need is there and fit for them, and what to do where it is not."""

from gofleet.doctor.diagnose import diagnose
from gofleet.doctor.findings import Case, CheckResult, CheckState, Diagnosis

__all__ = ["Case", "Diagnosis", "CheckResult", "CheckState", "diagnose"]
