"""
Tests of siger.discovery.
"""
