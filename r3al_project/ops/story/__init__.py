"""Live a story of three months through the real services: what ``run.py demo`` shows.

``chapters`` tells what happens, ``days`` lets the days pass, ``app`` is the people's app, ``terms`` the loop, ``telling`` what
is printed, and ``sights`` what there is to look at afterwards. Nothing here writes to a table by hand.
"""
