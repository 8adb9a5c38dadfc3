"""What a file holds beside its picture: found, and left out before a decoder sees it. One file per format."""
