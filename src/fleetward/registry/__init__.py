"""Things, groups, certificates and policies: the rules that keep them consistent, and the view others hold of them."""
