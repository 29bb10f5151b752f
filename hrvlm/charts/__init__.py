"""Charts of pages: SVG whose colours the page around it gives, to be read with and without scripts."""
