"""Conversions between systems, each with a condition estimate, and between true and truncated parameters."""
