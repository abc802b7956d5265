"""
gRPC as a gateway needs to know it: statuses, time limits and gRPC-Web. Messages are nobody's business here.
"""
