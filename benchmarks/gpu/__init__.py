"""Tables of a CUDA device, one file for each room: ``python -m benchmarks ROOM --device cuda``.

``--device stand-in`` runs the same lines on numpy and on torch's CPU: it checks that they run, and measures nothing.
"""
