"""
Tests of siger.balancing.
"""
