"""The dashboard: a run as a person sees it in a terminal, over SSH too.

It is attached to a run from outside (`pipeline.observe.attach`). What is known is a `View`, drawn
by pure functions (`render`); `terminal` owns the terminal, `app` ties them together.
"""

__all__: list[str] = []
