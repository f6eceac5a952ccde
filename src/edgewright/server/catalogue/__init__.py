"""How packages come in: looking through sources, importing, and showing files that strangers wrote."""
