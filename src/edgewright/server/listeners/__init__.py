"""What every request passes on the listeners: TLS, who is let in, bodies within bounds, errors as answers."""
