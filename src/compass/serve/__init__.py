"""A web server of layered files: the IIIF Image API, the files themselves, a page to look at them."""
