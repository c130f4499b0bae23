# -*- coding: latin-1 -*-
"""Déjà."""
Né = "éÿ" f"é{1}" ; B = Né
