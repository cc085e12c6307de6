"""Proofs that anyone can run: real processes that are killed, and an upstream whose own log says what is true.

Nothing that serves imports these modules. Each proof makes an installation of its own, and takes it away again.
"""
