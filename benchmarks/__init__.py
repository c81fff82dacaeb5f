"""Side-by-side tables: one file per question, named ROOM_QUESTION.py."""
