"""The commands beside the server: accounts, and data in and out."""
