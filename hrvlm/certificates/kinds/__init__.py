"""Kinds of certificate, one package each behind one interface; `registry` knows them all."""
