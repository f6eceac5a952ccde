"""A Git repository per device: hosted here, or pushed to a Git server of somebody else's."""
