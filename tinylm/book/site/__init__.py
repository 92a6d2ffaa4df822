"""The book as pages for a browser: one for each section, from the index, without server or network.

In order: build.py, which writes the folder; section.py, a page of concepts; frame.py, what all
pages have around them, and the contents; listing.py, code in color; mathml.py, formulas; lookup.py
and book.js, the search; book.css, the style for screens, paper and the dark.
"""
