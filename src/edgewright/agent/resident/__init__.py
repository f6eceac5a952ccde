"""What the watch listens to and starts beside the conversation: rounds, doors, files of people, the engine.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""
