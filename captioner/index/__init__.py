"""An index of photos by their captions: kept up with folders, and searched by words."""
