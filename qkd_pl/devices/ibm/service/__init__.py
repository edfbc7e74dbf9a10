"""Backends and IBM's service: how they are reached, and what they answer."""
