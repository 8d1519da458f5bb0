"""MMPretrain plugins; importing this package registers all of them."""
