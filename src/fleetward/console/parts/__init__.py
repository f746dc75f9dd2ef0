"""What pages are made of: each part a small function or class that many pages use."""
