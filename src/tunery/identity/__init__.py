"""Tenants, users, memberships, API tokens and roles."""
