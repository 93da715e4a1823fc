"""iniVation's and jAER's recordings: AEDAT 1 to 4."""
