"""
Tests of siger.config.
"""
