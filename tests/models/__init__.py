"""Designs as small models, explored in every order of events."""
