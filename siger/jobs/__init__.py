"""
Jobs: what is submitted, queued, run by workers and watched until it ends.
"""
