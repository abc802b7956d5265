"""
Tests of L{siger.messaging}.
"""
