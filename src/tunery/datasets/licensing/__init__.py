"""Licences: SPDX expressions that are checked, what each allows, and whether data, base and model go together.

    expressions.py   read what people and cards write as an SPDX expression
    terms.py         the matrix: what a licence asks for
    verdicts.py      the verdict over sources, base model and model

A reading of the licences' texts by engineers, not legal advice: ``review`` means that a person must look.
"""
