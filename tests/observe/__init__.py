"""
Tests of siger.observe.
"""
