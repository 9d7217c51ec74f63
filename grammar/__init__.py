"""The grammar of the sprnn language, as package data; read by ``sprnnc.language.parse``."""
