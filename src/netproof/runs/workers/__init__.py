"""Worker processes of a run: what each is given (``deal.py``), and what they have imported when they begin (``ready.py``)."""
