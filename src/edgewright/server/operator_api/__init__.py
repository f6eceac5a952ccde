"""What people and programs ask of the fleet manager, over HTTPS with a bearer token; described by its own
OpenAPI.
"""
