"""Compliance: what can be counted in rows and read from records, what only a person can attest, and a signed report.

Rules are plug-ins (decision 0011). Nothing here calls a dataset "compliant": a report says that there is no automatic
failure, and how many questions are open.
"""
