"""
Tests of siger.health.
"""
