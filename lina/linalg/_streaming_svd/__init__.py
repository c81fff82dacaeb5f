"""The streaming SVD: ``stream`` holds the sketches, the other files draw, size, reconstruct and certify."""
