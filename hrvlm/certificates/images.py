"""Where configurations name the plan of certificates: `class_path: hrvlm.certificates.images.CertificationPlan`."""

from hrvlm.certificates.run.plan import CertificationPlan

__all__ = ["CertificationPlan"]
