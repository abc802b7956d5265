"""
Tests of Siger.
"""
