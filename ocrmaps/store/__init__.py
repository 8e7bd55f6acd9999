"""The map store: committed versions of pictures and target maps, named by what was asked, proven by digests."""
