"""SynthFace: moving 3-D faces whose valence and arousal are known by construction."""
