"""The class Arena, the checks of its arguments, and the arenas that were not made by Arena().

arena.py is the class; every other module here holds functions that it is made of.
"""
