"""
What jobs cost a gateway: accepting them, telling of their events, and knowing very many.
"""
