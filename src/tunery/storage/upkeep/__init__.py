"""What keeps the store well: how much lies in it, whether it is whole, what may go, new keys, a new index."""
