"""
Observation: metrics, the access log and the application log.
"""
