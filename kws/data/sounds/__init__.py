"""Sounds that are made or measured without speech: noise, music, rooms, endpoints."""
