"""Keeps the secrets that a process has read out of what it shows: texts, exceptions, and what it prints and logs."""

from __future__ import annotations
