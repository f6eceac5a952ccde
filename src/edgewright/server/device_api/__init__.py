"""The specification's endpoints, and three of our own, for callers whom mutual TLS has identified (spec: 2.1,
API-5, ID-24).
"""
