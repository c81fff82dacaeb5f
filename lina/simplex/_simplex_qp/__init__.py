"""Quadratics over the simplex: ``public`` is the door, ``hybrid`` the choice among exchanges, faces and barrier."""
