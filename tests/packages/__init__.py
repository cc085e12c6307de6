"""Packages as somebody else would write them, installed by tests into directories of their own."""
