"""
Accounts and tokens: who may come in.
"""
