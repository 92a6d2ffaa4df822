"""What can be measured of a model that generates   (book section 2.3.6)."""
