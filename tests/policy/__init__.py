"""
Tests of siger.policy.
"""
