"""
Who is next: instances as discovery names them, endpoints as the gateway knows them, and the algorithms that pick one.
"""
