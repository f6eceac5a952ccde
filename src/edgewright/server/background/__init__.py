"""What goes on while nobody asks: rollouts are taken further, devices are brought along with assignments."""
